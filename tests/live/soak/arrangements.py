"""The arrangements that a soak puts under load, and what each of them promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datalyr_core.options import outbox_path
from tests.live.soak import brokers

MAX_QUEUE = 300  # events that wait in a process at most
FLUSH_INTERVAL = 1  # second

# Quick to time out, slow to grow: minutes have to show what hours do.
COMMON: Mapping[str, object] = {
    "api_key": "dk_soak",
    "close_timeout": 5,
    "concurrency": 4,
    "exit_timeout": 4,
    "flush_interval": FLUSH_INTERVAL,
    "max_queue_size": MAX_QUEUE,
    "timeout": 3,
}


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """Where events wait and where they go.

    Attributes:
        name: What `--arrangement` calls it.
        title: What people call it.
        durable: Whether what waits survives `kill -9`.
        at_least_once: Whether an event may come again around the end of a process.
        broker: The kind of broker in between; "" for none.
        options: Options of the clients beside the common ones; `{folder}` is the soak's.
    """

    name: str
    title: str
    durable: bool = False
    broker: str = ""
    at_least_once: bool = False
    options: Mapping[str, object] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """Name what is needed and not there."""
        if not Path("/proc/self/status").exists():
            return ["/proc"]
        return brokers.missing(self.broker) if self.broker else []

    def outbox(self, folder: Path) -> Path | None:
        """Return the file in which events wait; None if there is none."""
        url = str(self.options.get("outbox", "memory")).format(folder=folder)
        return None if url == "memory" else outbox_path(url)


SQLITE = {"outbox": "sqlite:///{folder}/outbox.db"}
ARRANGEMENTS = (
    Arrangement(name="memory", title="memory outbox → HTTP"),
    Arrangement(
        name="sqlite",
        title="SQLite outbox → HTTP",
        durable=True,
        at_least_once=True,
        options=SQLITE,
    ),
    *(
        Arrangement(
            name=f"{outbox}-{broker}",
            title=f"{outbox} outbox → {broker} → relay → HTTP",
            durable=outbox == "sqlite",
            broker=broker,
            at_least_once=True,
            options=SQLITE if outbox == "sqlite" else {},
        )
        for broker in ("redis", "rabbitmq")
        for outbox in ("memory", "sqlite")
    ),
)
