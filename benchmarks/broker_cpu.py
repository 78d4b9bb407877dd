"""What an event costs a web process that publishes to a broker.

    python -m benchmarks.broker_cpu [EVENTS]

CPU time of the whole process, the sender's thread included, divided by the events: as fast
as it goes, when messages are full, and at a thousand a second, when they are not. The brokers
are started here and have nothing else to do.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datalyr_core import Datalyr, Reply
from tests.support.rabbitmq import rabbitmq_command, rabbitmq_server
from tests.support.redis import redis_command, redis_server

RATE = 1000  # events a second
BUDGET = 60.0  # microseconds
PROPERTIES = {"amount": 99.99, "currency": "EUR", "plan": "pro", "items": 3}


class Nowhere:
    """A transport that takes everything at once."""

    def send(self, body: bytes) -> Reply:
        return Reply(200)


def measured(events: int, rate: float | None = None, **options: Any) -> tuple[float, float]:
    """Return the CPU microseconds of an event, and how many went out a second."""
    idle = paced(events, rate, lambda: None)  # waiting for the next event is not our cost
    client = Datalyr("dk_bench", max_queue_size=10_000, **options)
    client.track("user_123", "Warm", PROPERTIES)
    assert client.flush()
    begun = time.monotonic()
    with client.backpressure():
        cost = paced(
            events, rate, lambda: client.track("user_123", "Purchase Completed", PROPERTIES)
        )
    cpu = time.process_time()
    assert client.flush()
    took = time.monotonic() - begun
    cost += time.process_time() - cpu - idle
    assert client.stats.delivered == events + 1, client.stats
    client.close()
    return cost / events * 1e6, events / took


def paced(events: int, rate: float | None, work: Callable[[], Any]) -> float:
    """Do some work for each event, and return the CPU seconds of the process."""
    cpu, begun = time.process_time(), time.monotonic()
    for number in range(events):
        if rate and (ahead := begun + number / rate - time.monotonic()) > 0.005:
            time.sleep(ahead)
        work()
    return time.process_time() - cpu


@contextmanager
def brokers(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """Start what is installed, and give each one's options."""
    found: dict[str, dict[str, Any]] = {"no delivery": {"transport": Nowhere()}}
    if not redis_command() or not rabbitmq_command():
        sys.exit("this needs redis-server and rabbitmq-server")
    with redis_server(folder) as redis, rabbitmq_server(folder) as rabbitmq:
        found["Redis"] = {"broker": redis}
        found["RabbitMQ"] = {"broker": rabbitmq.url}
        yield found


def main() -> int:
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder, brokers(Path(folder)) as found:
        for name, options in found.items():
            for rate in (None, RATE):
                count = events if rate is None else events // 10
                cost, throughput = measured(count, rate, **options)
                worst = max(worst, cost)
                how = "as fast as it goes" if rate is None else f"at {rate:,} a second"
                print(
                    f"{name:<12} {count:>8,} events {how:<20} "
                    f"{cost:6.1f} µs an event, {throughput:8,.0f}/s"
                )
    return worst > BUDGET


if __name__ == "__main__":
    sys.exit(main())
