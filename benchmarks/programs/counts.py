"""What a plugin does, counted in place of timed: `python -m benchmarks.programs.counts NAME`.

Counts are the same on every machine, whatever else it does.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import orjson

from benchmarks.programs import contestants, floor, ours
from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.pairs import Pair, Work
from benchmarks.programs.plugins import MAKERS

TIMES = 21  # now and then a call also wakes the sender
ROUNDS = 15
CALLS = 500
_NAMES = {orjson.dumps: "encodings", os.urandom: "random numbers"}


def counted(work: Work) -> dict[str, float]:
    """Return how many functions one call calls, in Python and in C, and how often some of them."""
    for _ in range(TIMES):
        work()
    gc.collect()
    gc.disable()  # it may call what belongs to others
    empty = _counted(lambda: None)["calls"]
    found = [_counted(work) for _ in range(TIMES)]
    gc.enable()
    counts = {
        name: statistics.median(each[name] for each in found)
        for name in ("calls", *_NAMES.values())
    }
    return {**counts, "calls": counts["calls"] - empty}


def _counted(work: Work) -> Counter[str]:
    counts: Counter[str] = Counter()

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "call":
            counts["calls"] += 1
        elif event == "c_call":
            counts["calls"] += 1
            counts[_NAMES.get(function, "")] += 1

    sys.setprofile(note)  # of this thread alone
    try:
        work()
    finally:
        sys.setprofile(None)
    return counts


def added(pair: Pair) -> dict[str, float]:
    """Return how many functions more are called."""
    without, plugged = counted(pair.without), counted(pair.plugged)
    return {name: plugged[name] - without[name] for name in plugged}


def ratio(contestant: contestants.Contestant) -> float | None:
    """Return the CPU time of a call in floors, the least of rounds; None under a tracer."""
    if sys.gettrace() is not None:
        return None
    least = {"call": float("inf"), "floor": float("inf")}
    for _ in range(ROUNDS):
        least["call"] = min(least["call"], contestants.calls(contestant, CALLS))
        least["floor"] = min(least["floor"], floor.cost("uuid4", CALLS))
    return least["call"] / least["floor"]


@contextmanager
def counting(name: str) -> Iterator[Commands]:
    made = MAKERS[name](0)
    contestant = ours.contestant(made.client, made.track)
    made.track()
    made.client.flush()
    yield {
        "track": lambda: counted(made.track),
        "floor": lambda: counted(floor.floor(floor.IDS["new_id"])),
        "ratio": lambda: ratio(contestant),
        "added": lambda: added(made.pair),
        "memory": made.pair.added_memory,
    }
    made.client.close()


if __name__ == "__main__":
    answer(lambda: counting(sys.argv[1]))
