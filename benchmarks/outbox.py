"""What `track()` costs with the outbox in memory and in SQLite: `python -m benchmarks.outbox`.

The sender is off, so that only what a request waits for is measured.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._cores import HERE, on
from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import rounds_of
from benchmarks.programs.ours import client
from datalyr_core import Datalyr

CALLS = 300
PROPERTIES = {"amount": 99.99, "currency": "EUR", "plan": "pro", "items": ["a", "b", "c"]}
OF_MEMORY = 3.0
TEXT = """\
How long `track()` takes, by the clock, since a file may have to be waited for. Both clients are in
one process, and take turns."""


def made(outbox: str) -> Datalyr:
    # No pass begins by itself within the run.
    return client(outbox=outbox, flush_at=100, flush_interval=3600)


def measured(made: Datalyr) -> list[float]:
    """Return what each of some calls took, in microseconds, with the sender asleep."""
    took = []
    for number in range(CALLS):
        begun = time.perf_counter()
        made.track(
            event="Purchase Completed",
            user_id="user_1",
            anonymous_id=f"anon_{number}",
            properties=PROPERTIES,
        )
        took.append((time.perf_counter() - begun) * 1e6)
        if number % 90 == 89:
            made.flush()  # before the sender would be woken
    made.flush()
    return took


def benchmark(run: Run) -> Section:
    section = Section("`track()` with the outbox in SQLite", TEXT)
    run.keep(on(HERE))
    folder = run.keep(tempfile.TemporaryDirectory())
    clients = {"memory": made("memory"), "sqlite": made(f"sqlite://{Path(folder) / 'outbox.db'}")}
    # The first events, in the round that does not count, start threads and open files.
    variants: dict[str, Any] = {name: partial(measured, each) for name, each in clients.items()}
    rounds = rounds_of(run.of(30, 10), variants)
    for each in clients.values():
        each.close()
    took = {name: [call for calls in found for call in calls] for name, found in rounds.items()}
    median = {name: statistics.median(each) for name, each in took.items()}
    p99 = {name: statistics.quantiles(each, n=100)[98] for name, each in took.items()}
    section.add(
        "`track()`, SQLite",
        median["sqlite"],
        "µs",
        "the memory outbox",
        median["memory"],
        Goal(OF_MEMORY),
    )
    what = "the slowest call of 100, SQLite"
    section.add(what, p99["sqlite"], "µs", "the memory outbox", p99["memory"])
    return section


if __name__ == "__main__":
    sys.exit(command(benchmark))
