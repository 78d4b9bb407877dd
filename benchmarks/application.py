"""What the application's own visitors notice: `python -m benchmarks.application`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks._cores import AWAY
from benchmarks._report import Goal, Section
from benchmarks._run import FAST, Run, command
from benchmarks._servers import COMMANDS, servers
from benchmarks._turns import median_of, percentile, rounds_of
from benchmarks._workers import Unavailable, Worker
from tests.support.redis import redis_command, redis_server

RATE = 300  # requests a second
TURN = 1.1  # seconds, the first tenth of which does not count
CONNECTIONS = 16
OF_BARE = 1.1
AGAIN = "none again"
Turns = list[list[float]]  # the milliseconds that requests took
TEXT = """\
An example view, which makes a page of 50 products and tracks one event, behind a real server with
one worker; the same application without Datalyr beside it. First 300 requests a second, sent by
the clock whatever becomes of them, in short turns: the slowest of 100 among all requests of all
turns, and the median of what it is in each turn. The application without Datalyr runs twice: by
what the two differ, the machine's noise is known, and beside the others stands what both give
together. Then as many requests as the server answers, over 16 connections; no turn begins before
the last one's events have come to the sink, but for those that go to the broker, where the sink
sees none. The load generator, the sink and the broker stand for other machines and have a core to
themselves; the server, its sender included, has the rest, which is one core where there are two."""


def benchmark(run: Run) -> Section:
    section = Section("The application", TEXT)
    load, sink = run.away("load"), run.away("sink", 0)
    arrangements = _arrangements(run, sink.ask("port"), section.skipped)
    for name in [*COMMANDS][: run.of(len(COMMANDS), 2)]:
        with servers(name, arrangements) as ports:
            _latency(run, section, load, name, ports)
            del ports[AGAIN]
            _throughput(run, section, load, sink, name, ports)
    return section


def _arrangements(run: Run, port: int, skipped: list[str]) -> dict[str, dict[str, Any] | None]:
    common = {
        "api_key": "dk_bench",
        "host": f"http://127.0.0.1:{port}/track",
        "max_queue_size": 10_000,
    }
    folder = Path(run.keep(tempfile.TemporaryDirectory()))
    found: dict[str, dict[str, Any] | None] = {"none": None, AGAIN: None, "memory": common}
    found["SQLite"] = {**common, "outbox": f"sqlite://{folder / 'outbox.db'}"}
    if redis_command():
        found["broker"] = {"api_key": "dk_bench", "broker": run.keep(redis_server(folder), AWAY)}
    else:
        skipped.append("a broker (Redis is not installed)")
    try:
        run.worker("contestants", FAST, port)
        found["fast"] = {**common, "transport": "fast"}
    except Unavailable as error:
        skipped.append(f'`transport="fast"` ({error})')
    return found


def _latency(run: Run, section: Section, load: Worker, name: str, ports: dict[str, int]) -> None:
    variants = {
        arrangement: partial(load.ask, "at_rate", ports[arrangement], RATE, TURN)
        for arrangement in ("none", "memory", AGAIN, "fast")
        if arrangement in ports
    }
    # In the round that does not count: imports, connections, threads.
    found = rounds_of(run.of(10, 6), variants)
    for arrangement, replies in found.items():
        if failed := sum(reply["failed"] for reply in replies):
            section.notes.append(f"{name}, {arrangement}: {failed:.0f} requests failed")
    turns = {each: [reply["took"] for reply in replies] for each, replies in found.items()}
    _add(section, f"the slowest request of 100, {name}", turns, _slowest)
    _add(section, f"the same, the median of turns, {name}", turns, _slowest_of_turns)
    _add(section, f"the median request, {name}", turns, _median)


def _add(
    section: Section, what: str, turns: dict[str, Turns], figure: Callable[[Turns], float]
) -> None:
    """Add a figure of each arrangement, beside that of both without Datalyr."""
    bare = figure(turns["none"] + turns[AGAIN])
    for arrangement, took in turns.items():
        bound = figure is _slowest and arrangement not in ("none", AGAIN)
        goal = Goal(OF_BARE) if bound else None
        section.add(f"{what}, {arrangement}", figure(took), "ms", "without Datalyr", bare, goal)


def _slowest(turns: Turns) -> float:
    return percentile([*chain.from_iterable(turns)], 99)


def _slowest_of_turns(turns: Turns) -> float:
    return statistics.median(percentile(each, 99) for each in turns)


def _median(turns: Turns) -> float:
    return statistics.median(chain.from_iterable(turns))


def _throughput(
    run: Run, section: Section, load: Worker, sink: Worker, name: str, ports: dict[str, int]
) -> None:
    def saturated(port: int) -> dict[str, float]:
        found: dict[str, float] = load.ask("saturated", port, CONNECTIONS, 1)
        _rest(sink)
        return found

    variants = {arrangement: partial(saturated, port) for arrangement, port in ports.items()}
    found = rounds_of(run.of(3, 2), variants, warm=False)
    bare = median_of(found["none"], "rate")
    for arrangement, replies in found.items():
        what = f"requests at saturation, {name}, {arrangement}"
        section.add(what, median_of(replies, "rate"), "/s", "without Datalyr", bare)


def _rest(sink: Worker) -> None:
    """Wait until no more events come to the sink; what goes to a broker never does."""
    before = None
    while before != (seen := sink.ask("requests")):
        before = seen
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(command(benchmark))
