"""What a plugin does, counted in place of timed: `python -m benchmarks.programs.counts NAME`.

Counts are the same on every machine, whatever else it does.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import orjson

from benchmarks.programs import floor
from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.pairs import Pair, Work
from benchmarks.programs.plugins import MAKERS
from datalyr_core import Datalyr, identity

TIMES = 21  # the least of them counts
ROUNDS = 101
ASLEEP = {"flush_at": 100, "flush_interval": 3600}  # so that no call wakes the sender
CALLS = 90
_RANDOM = "random numbers"
_NAMES = {orjson.dumps: "encodings", os.urandom: _RANDOM, identity._draw: _RANDOM}


def counted(work: Work) -> dict[str, int]:
    """Return how many functions one call calls, in Python and in C, and how often some of them."""
    return counted_once(lambda: work)


def counted_once(fresh: Callable[[], Work]) -> dict[str, int]:
    """Return the same of what is called once only, and made anew each time."""
    for _ in range(TIMES):
        fresh()()
    gc.collect()
    gc.disable()  # it may call what belongs to others
    empty = _counted(lambda: None)["calls"]
    found = [_counted(fresh()) for _ in range(TIMES)]
    gc.enable()
    counts = {name: min(each[name] for each in found) for name in ("calls", *_NAMES.values())}
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


def added(pair: Pair) -> dict[str, int]:
    """Return how many functions more are called."""
    without, plugged = (
        counted_once(lambda serve=serve: partial(serve, pair.request()))  # type: ignore[misc]  # of a lambda with a default
        for serve in (pair.without, pair.plugged)
    )
    return {name: plugged[name] - without[name] for name in plugged}


def ratio(client: Datalyr, fresh: Callable[[], Work]) -> float | None:
    """Return the CPU time of a call in floors, the median of rounds; None under a tracer."""
    if sys.gettrace() is not None:
        return None
    least = floor.floor(floor.IDS["uuid4"])
    ratios = []
    for _ in range(ROUNDS):
        client.flush()
        ratios.append(_time(fresh) / _time(lambda: least))
    return statistics.median(ratios)


def _time(fresh: Callable[[], Work]) -> float:
    works = [fresh() for _ in range(CALLS)]
    begun = time.thread_time()
    for work in works:
        work()
    return time.thread_time() - begun


@contextmanager
def counting(name: str) -> Iterator[Commands]:
    made = MAKERS[name](0, **ASLEEP)
    made.track()
    made.client.flush()

    def memory() -> dict[str, float]:
        made.client.flush()  # its threads rest, whose memory would count too
        return made.pair.added_memory()

    yield {
        "track": lambda: counted(made.track),
        "first": lambda: counted_once(made.fresh),
        "floor": lambda: counted(floor.floor(floor.IDS["new_id"])),
        "ratio": lambda: ratio(made.client, lambda: made.track),
        "first ratio": lambda: ratio(made.client, made.fresh),
        "added": lambda: added(made.pair),
        "memory": memory,
    }
    made.client.close()


if __name__ == "__main__":
    answer(lambda: counting(sys.argv[1]))
