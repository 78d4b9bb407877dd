"""`python -m benchmarks.outbox`: what `track()` costs with the outbox in memory and in SQLite.

Both take turns in one process, so that whatever else the machine does is fair to both; the
sender is off, so that only what a request waits for is measured.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from datalyr_core import Datalyr
from datalyr_core.delivery.base import Reply

ROUNDS = 30
CALLS = 300
PROPERTIES = {"amount": 99.99, "currency": "EUR", "plan": "pro", "items": ["a", "b", "c"]}


class Nowhere:
    """Take every event, and cost nothing."""

    def send(self, body: bytes) -> Reply:
        return Reply(200, {}, "")


def client(outbox: str) -> Datalyr:
    # No pass begins by itself within the run.
    return Datalyr(
        "dk_bench",
        transport=Nowhere(),
        outbox=outbox,
        flush_at=100,
        flush_interval=3600,
        max_queue_size=10_000,
        on_drop=None,
    )


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


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outbox.db"
        clients = {"memory": client("memory"), "sqlite": client(f"sqlite://{file}")}
        took: dict[str, list[float]] = {name: [] for name in clients}
        for made in clients.values():
            measured(made)  # the first events start threads and open files
        for _ in range(ROUNDS):
            for name, made in clients.items():
                took[name] += measured(made)
        for made in clients.values():
            made.close()
    medians = {name: statistics.median(each) for name, each in took.items()}
    for name, each in took.items():
        p99 = statistics.quantiles(each, n=100)[98]
        print(f"{name:8} median {medians[name]:6.1f} µs   99 % {p99:7.1f} µs")
    print(f"ratio    {medians['sqlite'] / medians['memory']:.2f}")


if __name__ == "__main__":
    main()
