"""The outbox in memory: fast, bounded, gone with the process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Container

from datalyr_core.outbox.base import Entry

PATIENCE = 3  # failed flushes by which an entry may exceed others before it steps aside


class MemoryOutbox:
    """Keep events in a deque; the oldest waiting one makes room for a new one."""

    def __init__(self, limit: int) -> None:
        """Begin empty.

        Args:
            limit: How many events to keep at most, leased ones included.
        """
        self._limit = limit
        self._waiting: deque[Entry] = deque()
        self._leased: dict[int, Entry] = {}
        self._accepted = 0
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._lock = threading.RLock()

    @property
    def accepted(self) -> int:
        """Return how many events were ever put in."""
        return self._accepted

    @property
    def waiting(self) -> int:
        """Return how many entries are waiting, without those that are leased."""
        return len(self._waiting)

    def __len__(self) -> int:
        """Return how many entries there are, waiting or leased."""
        with self._lock:
            return len(self._waiting) + len(self._leased)

    def put(self, body: bytes) -> list[Entry]:
        """Take an event in, and return the oldest waiting ones that made room for it."""
        entry = Entry(body)
        with self._lock:
            self._accepted += 1
            entry.number = self._accepted
            self._waiting.append(entry)
            evicted = []
            while len(self._waiting) + len(self._leased) > self._limit:
                evicted.append(self._waiting.popleft())
            return evicted

    def lease(self, *, patient: bool, unless: Container[int] = ()) -> Entry | None:
        """Hand out the oldest waiting entry; `patient` passes over those that fail most."""
        with self._lock:
            ready = (each for each in self._waiting if each.number not in unless)
            entry = min(ready, key=_impatience, default=None) if patient else next(ready, None)
            if entry is None:
                return None
            if entry is self._waiting[0]:
                self._waiting.popleft()
            else:
                self._waiting.remove(entry)
            self._leased[entry.number] = entry
            return entry

    def give_back(self, entry: Entry) -> bool:
        """Take a leased entry back to its old place; False if it is no longer leased."""
        with self._lock:
            if not self.settle(entry):
                return False
            older = deque[Entry]()
            while self._waiting and self._waiting[0].number < entry.number:
                older.append(self._waiting.popleft())
            self._waiting.appendleft(entry)
            self._waiting.extendleft(reversed(older))
            return True

    def settle(self, entry: Entry) -> bool:
        """Forget a leased entry; False if it is no longer leased."""
        with self._lock:
            return self._leased.pop(entry.number, None) is not None

    def holds(self, entry: Entry) -> bool:
        """Tell whether an entry is still leased."""
        return entry.number in self._leased

    def abandon(self) -> list[Entry]:
        """Give up everything, leased or waiting, and return it in order."""
        with self._lock:
            left = sorted([*self._leased.values(), *self._waiting], key=lambda each: each.number)
            self._leased.clear()
            self._waiting.clear()
            return left


def _impatience(entry: Entry) -> int:
    return entry.failed_flushes // PATIENCE
