"""How much of a slow network's time is used: `python -m benchmarks.round_trip`."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import by_turns
from benchmarks._workers import Worker

ROUND_TRIP = 0.05  # seconds
CONCURRENCY = (10, 100)
OF_IDEAL = 0.95
SECONDS = 2  # of a turn
TEXT = """\
A sink that answers after 50 ms, and a client that has more than enough to send. The ideal is an
answer for each of `concurrency` requests every 50 ms. As many bare sockets, a thread each, show
what the machine and the sink can do; the sink has a core to itself, so that it is not late."""


def benchmark(run: Run) -> Section:
    section = Section("Delivery at a round trip of 50 ms", TEXT)
    port = run.sink(ROUND_TRIP)
    variants = {}
    for each in CONCURRENCY:
        client, sockets = run.worker("steady", port, each), run.worker("sockets", port, each)
        variants[f"`concurrency={each}`"] = partial(_rate, client, each)
        variants[f"{each} bare sockets"] = partial(sockets.ask, "rate", SECONDS)
        client.ask("rate", 0.1, 10 * each)  # its connections are there
    rates = by_turns(run.of(3, 1), variants, warm=False)
    for each in CONCURRENCY:
        ideal = each / ROUND_TRIP
        ours, bare = f"`concurrency={each}`", f"{each} bare sockets"
        goal = Goal(OF_IDEAL, least=True)
        section.add(ours, rates[ours], "events/s", "the ideal", ideal, goal)
        section.add(bare, rates[bare], "events/s", "the ideal", ideal)
    return section


def _rate(worker: Worker, concurrency: int) -> float:
    enough = int(concurrency / ROUND_TRIP * SECONDS * 1.3)  # less than the queue holds
    found: float = worker.ask("rate", SECONDS, enough)
    return found


if __name__ == "__main__":
    sys.exit(command(benchmark))
