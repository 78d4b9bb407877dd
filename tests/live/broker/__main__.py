"""Play it and print the count: `python -m tests.live.broker --events 100000 --broker redis`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.live.broker.run import Outcome, Plan, play
from tests.support.rabbitmq import rabbitmq_command
from tests.support.redis import redis_command
from tests.support.signals import interrupt_once

COLUMNS = ("accepted", "arrived", "duplicated", "missing", "dead", "left")


def main(arguments: list[str] | None = None) -> int:
    """Play the brokers that are asked for; 1 if an event of any is missing, 2 if interrupted."""
    parser = argparse.ArgumentParser("python -m tests.live.broker", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, metavar="N")
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), help="both by default")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), metavar="N")
    options = parser.parse_args(arguments)
    brokers = [options.broker] if options.broker else ["redis", "rabbitmq"]
    print(f"{options.events:,} events of 4 producers through 2 relays, seed {options.seed}")
    interrupt_once()
    try:
        played = [_played(broker, options.events, options.seed) for broker in brokers]
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended")
        return 2
    return 0 if all(played) else 1


def _played(broker: str, events: int, seed: int) -> bool:
    if not (redis_command() if broker == "redis" else rabbitmq_command()):
        print(f"skipped: {broker} is not installed")
        return True
    print(f"{broker}:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(broker, events, seed, Path(folder), lambda line: print(f"  {line}", flush=True))
        outcome = play(plan)
    _report(outcome)
    return outcome.good


def _report(outcome: Outcome) -> None:
    print("  " + "".join(f"{name:>12}" for name in COLUMNS))
    print("  " + "".join(f"{getattr(outcome, name):>12,}" for name in COLUMNS))
    for line in outcome.trouble:
        print(f"  {line}")
    verdict = "good" if outcome.good else "BAD"
    print(f"  {verdict}, in {outcome.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
