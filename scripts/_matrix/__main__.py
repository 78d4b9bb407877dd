"""Run the matrix: `python -m scripts._matrix`, in an environment that has nox."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts._matrix.legs import LEGS, Leg
from scripts._matrix.requirements import ROOT
from scripts._matrix.runner import Result, run
from scripts._matrix.table import table

MOST = 10  # failures of a leg that are named; its log has them all


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    legs = [leg for leg in LEGS if options.only in leg.name and (leg.ci or not options.ci)]
    if not legs:
        print(f"matrix: no leg has {options.only!r} in its name; --list shows them")
        return 2
    if options.list:
        for leg in legs:
            folders = ", ".join(f"tests/{name}" for name in leg.folders)
            print(f"{leg.name:<26} {leg.python:<5} {'ci' if leg.ci else '':<3} {folders}")
        return 0

    def one(leg: Leg) -> Result:
        result = run(leg, options.folder.resolve(), options.pytest)
        _tell(result)
        return result

    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(one, legs))
    print(*table(results), sep="\n")
    bad = ", ".join(result.leg.name for result in results if not result.good)
    missing = sorted({result.leg.python for result in results if result.missing})
    if missing:
        print(f"skipped, for want of an interpreter: Python {', '.join(missing)}")
    print(f"{len(results)} legs: {f'failed: {bad}' if bad else 'all well'}")
    return 1 if bad else 0


def _tell(result: Result) -> None:
    """Say at once how a leg ended, since the table is far away."""
    if result.trouble:
        said = result.trouble
    else:
        said = f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped"
    print(f"{result.leg.name}: {said} ({result.seconds:.0f} s)", file=sys.stderr, flush=True)
    more = len(result.failures) - MOST
    for failure in [*result.failures[:MOST], *([f"and {more} more"] if more > 0 else [])]:
        print(f"    {failure}", file=sys.stderr, flush=True)
    for name in result.recovered:
        print(f"    passed when it was run once more: {name}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    about = "Run the tests over versions of Python, of the frameworks and of what is optional."
    parser = argparse.ArgumentParser(prog="scripts/matrix", description=about)
    parser.add_argument("--ci", action="store_true", help="only the slice of every change")
    parser.add_argument("--only", metavar="TEXT", default="", help="legs with TEXT in their name")
    parser.add_argument("--list", action="store_true", help="show the legs and run nothing")
    parser.add_argument("--jobs", metavar="N", type=_jobs, default=1, help="legs side by side (1)")
    text = "where environments, reports and logs go (.nox)"
    parser.add_argument("--folder", type=Path, default=ROOT / ".nox", help=text)
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    return parser


def _jobs(text: str) -> int:
    if not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
