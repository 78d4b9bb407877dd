"""Everything that can send an event, behind one interface.

    python -m benchmarks.programs.contestants NAME PORT

`datalyr` is ours, in `ours`, and may have options: `datalyr?concurrency=100`. `socket` and
`http.client` are in `bare`, the others in `peers`.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from benchmarks.programs.answering import Commands, answer

PROPERTIES = {"amount": 99.99, "currency": "EUR", "plan": "pro", "items": 3}


@dataclass
class Contestant:
    """Something that sends events.

    Attributes:
        track: Tracks one.
        flush: Waits until all are sent.
        close: Ends it.
        delivered: Counts what was sent, where it is known.
        queue: How many events may wait.
    """

    track: Callable[[], object]
    flush: Callable[[], object] = lambda: None
    close: Callable[[], object] = lambda: None
    delivered: Callable[[], int] | None = None
    queue: int = 10_000


def calls(contestant: Contestant, count: int) -> float:
    """Return the CPU microseconds of the calling thread for one call."""
    contestant.flush()
    track = contestant.track
    gc.collect()
    begun = time.thread_time()
    for _ in range(count):
        track()
    return (time.thread_time() - begun) / count * 1e6


def paced(contestant: Contestant, count: int, rate: float) -> dict[str, float]:
    """Return how long calls take that come at a rate, with the sender at work."""
    contestant.flush()
    track = contestant.track
    took = []
    begun = time.perf_counter()
    for number in range(count):
        if (ahead := begun + number / rate - time.perf_counter()) > 0:
            time.sleep(ahead)
        before = time.perf_counter()
        track()
        took.append((time.perf_counter() - before) * 1e6)
    contestant.flush()
    return {"p50": statistics.median(took), "p99": statistics.quantiles(took, n=100)[98]}


def delivery(contestant: Contestant, count: int) -> dict[str, float]:
    """Return the CPU microseconds of the whole process, and the events a second."""
    contestant.flush()
    gc.collect()
    before = contestant.delivered() if contestant.delivered else 0
    begun, cpu = time.perf_counter(), time.process_time()
    track, left = contestant.track, count
    while left:
        # No more than may wait: some of them drop what is too much.
        some = min(left, contestant.queue)
        for _ in range(some):
            track()
        left -= some
        contestant.flush()
    cost, took = time.process_time() - cpu, time.perf_counter() - begun
    if contestant.delivered and contestant.delivered() - before != count:
        raise RuntimeError(f"{contestant.delivered() - before} of {count} were delivered")
    return {"cpu": cost / count * 1e6, "rate": count / took}


@contextmanager
def contest(name: str, port: int) -> Iterator[Commands]:
    """Make a contestant, and give the commands that measure it."""
    room = "ours" if name.startswith("datalyr") else "peers"
    if name in ("socket", "http.client"):
        room = "bare"
    made: Contestant = import_module(f"benchmarks.programs.{room}").make(name, port)
    made.track()
    made.flush()
    yield {
        "calls": lambda count: calls(made, count),
        "paced": lambda count, rate: paced(made, count, rate),
        "delivery": lambda count: delivery(made, count),
    }
    made.close()


if __name__ == "__main__":
    answer(lambda: contest(sys.argv[1], int(sys.argv[2])))
