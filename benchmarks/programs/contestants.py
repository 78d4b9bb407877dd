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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module

from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.apps import page

Work = Callable[[], object]
CHUNK = 100  # calls before the next one's turn
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

    track: Work
    flush: Work = lambda: None
    close: Work = lambda: None
    delivered: Callable[[], int] | None = None
    queue: int = 10_000


def calls(
    contestant: Contestant,
    count: int,
    floors: Mapping[str, Work] | None = None,
    fresh: Callable[[], Work] | None = None,
) -> dict[str, float]:
    """Return the CPU microseconds of the calling thread for one call.

    Args:
        contestant: What is called, under the name `call`, with its sender at work.
        count: How often.
        floors: What else takes turns with it, and so meets the same machine and the same sender.
        fresh: Makes what is called once only, under the name `first`; the making does not count.
    """
    contestant.flush()
    same = {"call": contestant.track, **(floors or {})}
    makers = {name: partial(_same, work) for name, work in same.items()}
    if fresh:
        makers["first"] = fresh
    spent = dict.fromkeys(makers, 0.0)
    gc.collect()
    for _ in range(count // CHUNK):
        for name, make in makers.items():
            works = [make() for _ in range(CHUNK)]
            begun = time.thread_time()
            for work in works:
                work()
            spent[name] += time.thread_time() - begun
    return {name: seconds / (count // CHUNK * CHUNK) * 1e6 for name, seconds in spent.items()}


def _same(work: Work) -> Work:
    return work


def paced(contestant: Contestant, count: int, rate: float, floor: Work) -> dict[str, float]:
    """Return how long calls take that come at a rate, with the sender at work.

    Between two of them comes the floor. A page is made before each, as a view does: who has just
    been asleep finds the processor's caches empty, and that would be most of what is measured.
    """
    contestant.flush()
    took: dict[str, list[float]] = {"call": [], "floor": []}
    turns = [(contestant.track, took["call"]), (floor, took["floor"])]
    begun = time.perf_counter()
    for number in range(2 * count):
        if (ahead := begun + number / rate / 2 - time.perf_counter()) > 0:
            time.sleep(ahead)
        work, kept = turns[number % 2]
        page()
        before = time.perf_counter()
        work()
        kept.append((time.perf_counter() - before) * 1e6)
    contestant.flush()
    cuts = {name: statistics.quantiles(each, n=100) for name, each in took.items()}
    return {f"{name} p{cut}": found[cut - 1] for name, found in cuts.items() for cut in (50, 99)}


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
        "delivery": lambda count: delivery(made, count),
    }
    made.close()


if __name__ == "__main__":
    answer(lambda: contest(sys.argv[1], int(sys.argv[2])))
