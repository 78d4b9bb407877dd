"""The outbox in memory: fast, bounded, gone with the process."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Collection, Container, Sequence
from contextlib import suppress
from operator import length_hint

from datalyr_core.outbox.base import Entry, Ephemeral, is_owned

_LAST = 1 << 62
PATIENCE = 3  # failed flushes by which an entry may exceed others before it steps aside


class MemoryOutbox(Ephemeral):
    """Keep events in a deque; the oldest waiting one makes room for a new one.

    What is put in arrives without a lock, so that nobody who tracks waits for a sender. It waits
    with the others as soon as somebody looks. Two threads that put something in at the same
    moment may have it in the other order than its numbers.
    """

    patient = False

    def __init__(self, limit: int) -> None:
        """Begin empty.

        Args:
            limit: How many events to keep at most, leased ones included.
        """
        self.limit = limit
        self._arrived: deque[Entry] = deque()
        self._waiting: deque[Entry] = deque()
        self._leased: dict[int, Entry] = {}
        # A range, and no `itertools.count`: it can tell how many it has given out.
        self._numbers = iter(range(1, _LAST))
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._lock = threading.RLock()

    @property
    def accepted(self) -> int:
        """Return how many events were ever put in."""
        return _LAST - 1 - length_hint(self._numbers)

    @property
    def waiting(self) -> int:
        """Return how many entries are waiting, without those that are leased."""
        return len(self._arrived) + len(self._waiting)

    @property
    def oldest(self) -> int | None:
        """Return the number of the oldest entry, waiting or leased; None if there is none."""
        with self._lock:
            self._take_in()
            first = (each.number for each in itertools.islice(self._waiting, 1))
            return min(itertools.chain(self._leased, first), default=None)

    def __len__(self) -> int:
        """Return how many entries there are, waiting or leased."""
        with self._lock:
            return self._count()

    def _count(self) -> int:
        return len(self._arrived) + len(self._waiting) + len(self._leased)

    @property
    def held(self) -> int:
        """Return how many entries there are, waiting or leased."""
        return len(self)

    @property
    def is_locked_here(self) -> bool:
        """Tell whether this very thread is in the middle of something."""
        return is_owned(self._lock)

    def put(self, body: bytes) -> Sequence[Entry]:
        """Take an event in, and return the oldest waiting ones that made room for it."""
        return self.add(Entry(body))

    def add(self, entry: Entry) -> Sequence[Entry]:
        """Take an entry in that somebody else has made, as `put` does."""
        entry.number = next(self._numbers)
        # As `_count`, which would be one of the costliest calls of all that track.
        if len(self._arrived) + len(self._waiting) + len(self._leased) < self.limit:
            self._arrived.append(entry)
            return ()
        with self._lock:
            self._arrived.append(entry)
            self._take_in()
            evicted = []
            while self._waiting and self._count() > self.limit:
                evicted.append(self._waiting.popleft())
                self._take_in()  # others may have come
            return evicted

    def _take_in(self) -> None:
        """Let what has arrived wait with the others; with the lock held.

        In one call: a signal's handler that raises must not find an event in neither place.
        """
        with suppress(IndexError):  # that was all
            self._waiting.extend(iter(self._arrived.popleft, None))

    def lease(self, *, patient: bool, unless: Collection[int] = ()) -> Entry | None:
        """Hand out the oldest waiting entry; `patient` passes over those that fail most."""
        with self._lock:
            if self._arrived:
                self._take_in()
            entry = self._picked(patient, unless) if patient or unless else self._oldest()
            if entry is not None:
                self._leased[entry.number] = entry
            return entry

    def _oldest(self) -> Entry | None:
        return self._waiting.popleft() if self._waiting else None

    def _picked(self, patient: bool, unless: Collection[int]) -> Entry | None:
        while True:
            # Either says that such a finalizer came in between: look again.
            with suppress(RuntimeError, ValueError):
                entry = self._next(patient, unless)
                if entry is not None:
                    self._waiting.remove(entry)  # from the left, where it nearly always is
                return entry

    def _next(self, patient: bool, unless: Collection[int]) -> Entry | None:
        ready = (each for each in self._waiting if each.number not in unless)
        return min(ready, key=_impatience, default=None) if patient else next(ready, None)

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

    def refuse(self, entry: Entry, status: int | None, why: str) -> bool:
        """Forget a leased entry that is never to be delivered; False if it is no longer leased."""
        return self.settle(entry)

    def withdraw(self, entries: Container[Entry]) -> None:
        """Forget entries, leased or waiting."""
        with self._lock:
            self._take_in()
            self._waiting = deque(each for each in self._waiting if each not in entries)
            leased = self._leased.items()
            self._leased = {number: each for number, each in leased if each not in entries}

    def holds(self, entry: Entry) -> bool:
        """Tell whether an entry is still leased."""
        return entry.number in self._leased

    def abandon(self) -> list[Entry]:
        """Give up everything, leased or waiting, and return it in order."""
        with self._lock:
            self._take_in()
            none_leased, none_waiting = dict[int, Entry](), deque[Entry]()
            leased, waiting = self._leased, self._waiting
            # Replaced, not emptied: what such a finalizer puts in from here on is not lost.
            self._leased, self._waiting = none_leased, none_waiting
            return sorted([*leased.values(), *waiting], key=lambda each: each.number)


def _impatience(entry: Entry) -> int:
    return entry.failed_flushes // PATIENCE
