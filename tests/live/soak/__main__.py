"""Soak: `python -m tests.live.soak --seed N --minutes M`."""

from __future__ import annotations

import argparse
import random
import sys
from functools import partial
from pathlib import Path

from tests.live.soak.arrangements import ARRANGEMENTS, Arrangement
from tests.live.soak.plan import make_plan
from tests.live.soak.playing import play
from tests.live.soak.servers import SERVERS
from tests.live.soak.table import table
from tests.live.soak.verdict import judge
from tests.support.signals import interrupt_once

NAMES = [each.name for each in ARRANGEMENTS]


def main(arguments: list[str] | None = None) -> int:
    """Play what is asked for; 1 if any of it is bad, 2 if it was interrupted."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.keep and options.keep.exists() and any(options.keep.iterdir()):
        parser.error(f"{options.keep} is not empty")
    chosen = [each for each in ARRANGEMENTS if each.name in (options.arrangement or NAMES)]
    if options.plan:
        _show_plans(options.seed, options.minutes * 60, chosen)
        return 0
    interrupt_once()
    try:
        return _play(options.seed, options.minutes * 60, chosen, options.keep)
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.live.soak", description=__doc__)
    add = parser.add_argument
    add("--seed", type=int, default=random.randrange(10_000), help="decides the plan")
    add("--minutes", type=float, default=1.0, help="of each arrangement's plan")
    add("--arrangement", action="append", choices=NAMES, help="may be repeated; all by default")
    add("--keep", type=Path, metavar="FOLDER", help="leave ledger and log there")
    add("--plan", action="store_true", help="show what would happen, and play nothing")
    return parser


def _show_plans(seed: int, seconds: float, chosen: list[Arrangement]) -> None:
    servers = tuple(server.name for server in SERVERS)
    for arrangement in chosen:
        print(f"{arrangement.name}, seed {seed}")
        print(*make_plan(seed, seconds, servers, broker=bool(arrangement.broker)), sep="\n")


def _play(seed: int, seconds: float, chosen: list[Arrangement], keep: Path | None) -> int:
    results = []
    for arrangement in chosen:
        if missing := arrangement.missing():
            print(f"skipped: {arrangement.name} (needs {', '.join(missing)})")
            continue
        print(f"{arrangement.title}, seed {seed}, {seconds:g} s", flush=True)
        folder = keep and keep / arrangement.name
        played = play(arrangement, seed, seconds, partial(print, flush=True), folder)
        results.append((played, judge(played)))
    print(*table(results), sep="\n")
    bad = sum(bool(verdict.problems) for _, verdict in results)
    skipped = len(chosen) - len(results)
    print(f"seed {seed}: {len(results) - bad} good, {bad} bad, {skipped} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
