"""What the application's own visitors notice: `python -m benchmarks.application`."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._cores import AWAY
from benchmarks._report import Goal, Section
from benchmarks._run import FAST, Run, command
from benchmarks._servers import COMMANDS, servers
from benchmarks._turns import median_of, rounds_of
from benchmarks._workers import Unavailable, Worker
from tests.support.redis import redis_command, redis_server

RATE = 300  # requests a second
CONNECTIONS = 16
OF_BARE = 1.1
TEXT = """\
An example view, which makes a page of 50 products and tracks one event, behind a real server with
one worker; the same application without Datalyr beside it. First 300 requests a second, sent by
the clock whatever becomes of them: the slowest of 100, the median of the rounds. Then as many as
the server answers, over 16 connections. The load generator and the sink are processes of their
own on the same machine, so a machine of two cores is full at the end, and its noise is in the
slowest requests of both."""


def benchmark(run: Run) -> Section:
    section = Section("The application", TEXT)
    load = run.away("load")
    arrangements = _arrangements(run, section.skipped)
    for name in [*COMMANDS][: run.of(len(COMMANDS), 2)]:
        with servers(name, arrangements) as ports:
            _latency(run, section, load, name, ports)
            _throughput(run, section, load, name, ports)
    return section


def _arrangements(run: Run, skipped: list[str]) -> dict[str, dict[str, Any] | None]:
    port = run.sink()
    common = {
        "api_key": "dk_bench",
        "host": f"http://127.0.0.1:{port}/track",
        "max_queue_size": 10_000,
    }
    folder = Path(run.keep(tempfile.TemporaryDirectory()))
    found: dict[str, dict[str, Any] | None] = {"none": None, "memory": common}
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
    seconds = run.of(5, 2)
    variants = {
        arrangement: partial(load.ask, "at_rate", ports[arrangement], RATE, seconds)
        for arrangement in ("none", "memory", "fast")
        if arrangement in ports
    }
    for arrangement in variants:  # imports, connections, threads
        load.ask("at_rate", ports[arrangement], RATE, 1)
    found = rounds_of(run.of(5, 2), variants, warm=False)
    bare = median_of(found["none"], "p99")
    for arrangement, replies in found.items():
        what = f"the slowest request of 100, {name}, {arrangement}"
        if failed := sum(reply["failed"] for reply in replies):
            section.notes.append(f"{what}: {failed:.0f} failed")
        goal = None if arrangement == "none" else Goal(OF_BARE)
        section.add(what, median_of(replies, "p99"), "ms", "without Datalyr", bare, goal)
    for arrangement, replies in found.items():
        what = f"the median request, {name}, {arrangement}"
        reference = median_of(found["none"], "p50")
        section.add(what, median_of(replies, "p50"), "ms", "without Datalyr", reference)


def _throughput(run: Run, section: Section, load: Worker, name: str, ports: dict[str, int]) -> None:
    variants = {
        arrangement: partial(load.ask, "saturated", port, CONNECTIONS, run.of(3, 1))
        for arrangement, port in ports.items()
    }
    found = rounds_of(run.of(3, 1), variants, warm=False)
    bare = median_of(found["none"], "rate")
    for arrangement, replies in found.items():
        what = f"requests at saturation, {name}, {arrangement}"
        section.add(what, median_of(replies, "rate"), "/s", "without Datalyr", bare)


if __name__ == "__main__":
    sys.exit(command(benchmark))
