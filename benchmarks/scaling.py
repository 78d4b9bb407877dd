"""That the cost of an event stays what it is: `python -m benchmarks.scaling`."""

from __future__ import annotations

import statistics
import sys
from functools import partial

from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import by_turns
from benchmarks._workers import Worker

FIRST = 1000
MORE = (10_000, 100_000)
MOST = 1_000_000
OF_FIRST = 1.1
MANY = (4, 16)
OF_ONE = 0.8  # of the events a second
TEXT = """\
From the call to a transport that takes everything at once: the CPU time of the whole process for
an event, of a thousand events and of many more, which take turns; a million take as long as all
the others, so that their row is one sample, taken after them. Then the events a second of several
threads, on one client and on a client each. One interpreter runs one thread at a time, so more
threads are not faster; a lock that they fight for would make them slower. They are kept to no core:
threads that meet on one would not have to fight."""


def benchmark(run: Run) -> Section:
    section = Section("Growth", TEXT)
    worker = run.worker("contestants", "datalyr", 0)
    found = by_turns(
        run.of(3, 2),
        {str(each): partial(_cost, worker, each) for each in (FIRST, *MORE)},
        warm=False,
    )
    costs = {int(count): cost for count, cost in found.items()}
    if not run.quick:  # once: it takes as long as all the others
        costs[MOST] = _cost(worker, MOST)
    for count, cost in costs.items():
        goal = Goal(OF_FIRST) if count > FIRST else None
        what, beside = f"one of {count:,} events", f"one of {FIRST:,}"
        section.add(what, cost, "µs", beside, costs[FIRST], goal)
    producers, count = run.worker("producers", cores=None), run.of(20_000, 8000)
    ways = {"1 thread": (1, 1)}
    for many in MANY:
        ways[f"{many} threads, 1 client"] = (many, 1)
        ways[f"{many} threads, {many} clients"] = (many, many)
    rates = by_turns(
        run.of(5, 3),
        {name: partial(producers.ask, "rate", *way, count) for name, way in ways.items()},
    )
    for name, rate in rates.items():
        goal = Goal(OF_ONE, least=True) if name != "1 thread" else None
        section.add(name, rate, "events/s", "1 thread", rates["1 thread"], goal)
    return section


def _cost(worker: Worker, count: int) -> float:
    """Return the median, where there are few, of several times as many."""
    times = max(1, 20_000 // count)
    return statistics.median(worker.ask("delivery", count)["cpu"] for _ in range(times))


if __name__ == "__main__":
    sys.exit(command(benchmark))
