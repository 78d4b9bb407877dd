"""What a process holds of the durable outbox in memory: the next events of an owner."""

from __future__ import annotations

from typing import cast

from datalyr_core.event import marked_as_delayed
from datalyr_core.outbox.base import Entry
from datalyr_core.outbox.locks import FileLock
from datalyr_core.outbox.memory import MemoryOutbox
from datalyr_core.outbox.schema import first_id
from datalyr_core.outbox.sqlite_file import OutboxFile

DEDUPLICATED = 6 * 3600  # seconds for which the ingest knows an event's id


class StoredEntry(Entry):
    """Hold an event that is in the file, or is to be."""

    __slots__ = ("at", "lane", "row", "stored")

    def __init__(self, body: bytes, number: int, at: float, lane: Lane) -> None:
        """Begin with what is only in memory.

        Args:
            body: The event.
            number: Its place in the order.
            at: When it was accepted, in seconds since the epoch.
            lane: Where it waits.
        """
        # What `Entry` does, and no call of it: this is what a request waits for.
        self.body = body
        self.attempts = self.failed_flushes = 0
        self.number = number
        self.at = at
        self.lane = lane
        self.row = 0  # its id in the file; 0 while it is not there
        self.stored = body  # as it was accepted

    def mark(self, now: float) -> None:
        """Say in the event how long it has waited, if the ingest may not know its id any more."""
        waited = now - self.at
        if waited > DEDUPLICATED:
            self.body = marked_as_delayed(self.stored, int(waited))


class Lane(MemoryOutbox):
    """Keep an owner's next events in memory, and know what else it has in the file.

    Attributes:
        owner: The owner's number; 0 while there is none.
        lock: Its lock, which this process holds.
        base: The id before its first event.
        position: The id of its last event that was ever in memory.
        unloaded: How many of its events come after that, in the file alone.
        events, size: How many events and bytes it has in the file.
    """

    def __init__(self, limit: int) -> None:
        """Begin empty, with no owner."""
        super().__init__(limit)
        self.lock: FileLock | None = None
        self.disconnect()

    def connect(self, owner: int, lock: FileLock, events: int = 0, size: int = 0) -> None:
        """Take charge of an owner and of what it has in the file, all of it unloaded."""
        self.owner, self.lock = owner, lock
        self.base = self.position = first_id(owner)
        self.unloaded, self.events, self.size = events, events, size

    def disconnect(self) -> None:
        """Forget the owner, whose lock is given up, and what is in the file."""
        if self.lock is not None:
            self.lock.close()
        self.owner = self.base = self.position = 0
        self.unloaded = self.events = self.size = 0
        self.lock = None

    def finish(self, file: OutboxFile) -> None:
        """Remove the owner from a file where it has nothing any more, and forget it."""
        if self.lock is not None:  # pragma: no branch - an owner is never without
            file.remove(self.owner, self.lock)
        self.disconnect()

    @property
    def in_all(self) -> int:
        """Return how many events there are, in memory or in the file alone."""
        return len(self) + self.unloaded

    def append(self, entry: StoredEntry) -> None:
        """Let an event wait behind all others."""
        with self._lock:
            self._waiting.append(entry)

    def take_oldest(self) -> StoredEntry | None:
        """Remove the oldest event that waits in memory, and return it."""
        with self._lock:
            return cast("StoredEntry", self._waiting.popleft()) if self._waiting else None

    def discard(self, entry: StoredEntry) -> None:
        """Remove an event that waits."""
        with self._lock:
            self._waiting.remove(entry)

    def entries(self) -> list[StoredEntry]:
        """Return what is in memory, leased or waiting."""
        with self._lock:
            return cast("list[StoredEntry]", [*self._leased.values(), *self._waiting])
