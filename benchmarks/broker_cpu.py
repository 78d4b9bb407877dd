"""What an event costs a web process that publishes to a broker: `python -m benchmarks.broker_cpu`.

The brokers are started here and have nothing else to do.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._cores import AWAY, HERE, on
from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import by_turns
from benchmarks.programs.contestants import PROPERTIES
from benchmarks.programs.ours import client
from tests.support.rabbitmq import rabbitmq_command, rabbitmq_server
from tests.support.redis import redis_command, redis_server

RATE = 1000  # events a second
BUDGET = 60.0  # microseconds
TEXT = """\
CPU time of the whole process, the sender's thread included, divided by the events: as fast as it
goes, when messages are full, and at a thousand a second, when they are not. Beside it the same
without any delivery. The brokers stand for other machines and have a core to themselves."""


def measured(events: int, rate: float | None, options: dict[str, Any]) -> float:
    """Return the CPU microseconds of an event."""
    made = client(**options)
    made.track("user_123", "Warm", PROPERTIES)
    assert made.flush()
    with made.backpressure():
        cost = paced(events, rate, lambda: made.track("user_123", "Purchase Completed", PROPERTIES))
    cpu = time.process_time()
    assert made.flush()
    cost += time.process_time() - cpu
    assert made.stats.delivered == events + 1, made.stats
    made.close()
    return cost / events * 1e6


def waiting(events: int, rate: float | None) -> float:
    """Return the CPU microseconds of an event that does nothing."""
    return paced(events, rate, lambda: None) / events * 1e6


def paced(events: int, rate: float | None, work: Callable[[], Any]) -> float:
    """Do some work for each event, and return the CPU seconds of the process."""
    cpu, begun = time.process_time(), time.monotonic()
    for number in range(events):
        if rate and (ahead := begun + number / rate - time.monotonic()) > 0.005:
            time.sleep(ahead)
        work()
    return time.process_time() - cpu


@contextmanager
def brokers(skipped: list[str]) -> Iterator[dict[str, dict[str, Any]]]:
    """Start what is installed, and give each one's options."""
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        redis = redis_server(folder) if redis_command() else None
        rabbitmq = rabbitmq_server(folder) if rabbitmq_command() else None
        with _started(redis, "Redis", skipped) as at:
            if at:
                found["Redis"] = {"broker": at}
            with _started(rabbitmq, "RabbitMQ", skipped) as server:
                if server:
                    found["RabbitMQ"] = {"broker": server.url}
                yield found


@contextmanager
def _started(server: Any, name: str, skipped: list[str]) -> Iterator[Any]:
    if server is None:
        skipped.append(f"{name} (it is not installed)")
        yield None
    else:
        with server as running:
            yield running


def benchmark(run: Run) -> Section:
    section = Section("An event that goes to a broker", TEXT)
    found = run.keep(brokers(section.skipped), AWAY)
    run.keep(on(HERE))
    counts = {None: run.of(20_000, 5000), RATE: run.of(1500, 1000)}
    for rate, count in counts.items():
        variants = {
            name: partial(measured, count, rate, options)
            for name, options in {"no delivery": {}, **found}.items()
        }
        variants["waiting"] = partial(waiting, count, rate)
        cost = by_turns(run.of(5, 3), variants, warm=False)
        idle = cost.pop("waiting")  # for the next event is not our cost
        cost = {name: each - idle for name, each in cost.items()}
        how = "as fast as it goes" if rate is None else f"at {rate:,} a second"
        for name in found:
            goal = Goal(BUDGET, absolute=True)
            what = f"one event, {name}, {how}"
            section.add(what, cost[name], "µs", "no delivery", cost["no delivery"], goal)
    return section


if __name__ == "__main__":
    sys.exit(command(benchmark))
