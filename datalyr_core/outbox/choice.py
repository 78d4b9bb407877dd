"""Which outbox a configuration asks for."""

from __future__ import annotations

from datalyr_core import options
from datalyr_core.config import Config
from datalyr_core.outbox.base import Outbox
from datalyr_core.outbox.memory import MemoryOutbox


def outbox_of(config: Config) -> Outbox:
    """Make the outbox. It opens nothing before the first event."""
    if config.outbox == "memory":
        return MemoryOutbox(config.max_queue_size)
    # Heavy, and of no use to others; see `transport_of` for the time of its import.
    from datalyr_core.outbox.sqlite import SqliteOutbox

    return SqliteOutbox(
        options.outbox_path(config.outbox),
        sink=sink_of(config),
        limit=config.outbox_max_events,
        most_bytes=config.outbox_max_bytes,
        window=config.max_queue_size,
        interval=config.flush_interval,
    )


def sink_of(config: Config) -> str:
    """Return a name for where events go: those of one key are never sent with another.

    Nobody can tell the key from it.
    """
    import hashlib  # OpenSSL's, which take a while, and only durable outboxes ask

    return hashlib.sha256(f"datalyr outbox {config.api_key}".encode()).hexdigest()[:16]
