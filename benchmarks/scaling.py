"""That the cost of an event stays what it is: `python -m benchmarks.scaling`."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import by_turns, median_of, rounds_of

FIRST = 1000
MORE = (10_000, 100_000, 1_000_000)
OF_FIRST = 1.1
MANY = (4, 16)
OF_ONE = 0.8  # of the events a second
TEXT = """\
From the call to a transport that takes everything at once: the CPU time of the whole process for
an event, of a thousand events and of many more; and the events a second of several threads, on
one client and on a client each. One interpreter runs one thread at a time, so more threads are
not faster; a lock that they fight for would make them slower."""


def benchmark(run: Run) -> Section:
    section = Section("Growth", TEXT)
    worker = run.worker("contestants", "datalyr", 0)
    costs = {}
    for count in (FIRST, *MORE[: run.of(3, 2)]):
        # About as many events of each, within reason.
        rounds = max(1, min(run.of(30, 10), run.of(500_000, 100_000) // count))
        variants = {"all": partial(worker.ask, "delivery", count)}
        costs[count] = median_of(rounds_of(rounds, variants, warm=count == FIRST)["all"], "cpu")
    for count, cost in costs.items():
        goal = Goal(OF_FIRST) if count > FIRST else None
        what, beside = f"one of {count:,} events", f"one of {FIRST:,}"
        section.add(what, cost, "µs", beside, costs[FIRST], goal)
    producers, count = run.worker("producers"), run.of(100_000, 20_000)
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


if __name__ == "__main__":
    sys.exit(command(benchmark))
