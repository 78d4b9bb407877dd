"""The outbox in an SQLite file: what was put in survives the end of the process.

A process writes each event into the file and keeps the next ones in memory as well, so
that it sends without reading them. It holds three lanes: its own, what it has taken over
from an owner that is dead, and what could not be written and is only in memory.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection
from typing import cast

from datalyr_core.outbox.base import Entry
from datalyr_core.outbox.lane import Lane, StoredEntry
from datalyr_core.outbox.sqlite_file import INSERT
from datalyr_core.outbox.store import SETTLED, inherited
from datalyr_core.outbox.upkeep import Upkeep

BATCH = 100  # events that are read at once
PUBLISH_EVERY = 128  # events after which other processes learn how much this one has
MOST_EVICTED = 8  # events by one call, so that a bound that was lowered stops nobody
_FOREIGN = -(1 << 63)  # added to ids, so that they are older than whatever is our own


class SqliteOutbox(Upkeep):
    """Keep events in a file that any number of processes share."""

    durable = True
    patient = False

    @property
    def waiting(self) -> int:
        """Return how many entries can be leased."""
        own, foreign = self._own, self._foreign
        in_memory = own.waiting + self._spare.waiting + foreign.waiting
        return in_memory if self._broken else in_memory + own.unloaded + foreign.unloaded

    @property
    def oldest(self) -> int | None:
        """Return the number of this process's oldest entry, waiting or leased, or None."""
        own = self._own
        numbers = [own.oldest, self._spare.oldest]
        if own.unloaded:
            numbers.append(own.position - own.base + 1)
        return min((number for number in numbers if number is not None), default=None)

    def __len__(self) -> int:
        """Return how many entries of this process there are, waiting or leased."""
        own = self._own.in_all + len(self._spare)
        return own + self._foreign.in_all if self._greedy else own

    def put(self, body: bytes) -> list[StoredEntry]:
        """Take an event in, and return the oldest waiting ones that made room for it."""
        with self._lock:
            self.accepted += 1
            entry = StoredEntry(body, self.accepted, time.time(), self._own)
            evicted = self._make_room() if self._store(entry) else self._spare_room(entry)
        if self._news:
            self._tell()
        return evicted

    def _store(self, entry: StoredEntry) -> bool:
        """Write an event into the file; False if that is not possible now."""
        if self._inside or not self._opened():
            return False
        own = self._own
        row = own.base + entry.number
        self._inside = True
        try:
            self._execute(INSERT, (row, entry.at, entry.body))
        except sqlite3.Error as error:
            self._fail(error)
            return False
        finally:
            self._inside = False
        entry.row = row
        own.events += 1
        own.size += len(entry.body)
        if own.unloaded or own.waiting >= self._window:
            own.unloaded += 1
        else:
            own.position = row
            own.append(entry)
        return True

    def _spare_room(self, entry: StoredEntry) -> list[StoredEntry]:
        """Keep an event in memory alone."""
        entry.lane = self._spare
        self._spare.append(entry)
        evicted = []
        while len(self._spare) > self._window and (oldest := self._spare.take_oldest()):
            self._forget(oldest)
            evicted.append(oldest)
        return evicted

    def _make_room(self) -> list[StoredEntry]:
        if self.accepted % PUBLISH_EVERY == 0:
            self._in_file(self._publish)
        own, foreign = self._own, self._foreign
        evicted: list[StoredEntry] = []
        while (
            own.events + foreign.events > self._room or own.size + foreign.size > self._room_bytes
        ) and len(evicted) < MOST_EVICTED:
            oldest = self._take_oldest()
            if oldest is None:
                break
            self._forget(oldest)
            evicted.append(oldest)
        if len(self._settled) >= SETTLED:
            self._write_settled()
        return evicted

    def _take_oldest(self) -> StoredEntry | None:
        for lane in (self._foreign, self._spare, self._own):
            entry = lane.take_oldest()
            if entry is None and self._load(lane):
                entry = lane.take_oldest()
            if entry is not None:
                return entry
        return None

    def lease(self, *, patient: bool, unless: Collection[int] = ()) -> Entry | None:
        """Hand out the oldest waiting entry of a lane; the lanes have it by turns."""
        with self._lock:
            for lane in self._by_turns():
                entry = lane.lease(patient=patient, unless=unless)
                if entry is None and lane.waiting < self._window and self._load(lane):
                    entry = lane.lease(patient=patient, unless=unless)
                if entry is not None:
                    self._foreign_first = lane is not self._foreign
                    cast("StoredEntry", entry).mark(time.time())
                    return entry
            return None

    def _by_turns(self) -> tuple[Lane, ...]:
        mine = (self._spare, self._own)
        return (self._foreign, *mine) if self._foreign_first else (*mine, self._foreign)

    def _load(self, lane: Lane) -> bool:
        """Read an owner's next events; False if there are none."""
        if not lane.unloaded or self._broken or self._inside:
            return False
        # Where a fork has closed it, the file of this name may be another one by now.
        if not self._opened() or not lane.unloaded:
            return False
        rows = self._in_file(lambda: self._file.load(lane.owner, lane.position, BATCH))
        if rows is None:
            return False
        offset = -lane.base if lane is self._own else _FOREIGN
        for row, at, body in rows:
            entry = StoredEntry(body, row + offset, at, lane)
            entry.row = lane.position = row
            lane.append(entry)
        lane.unloaded -= len(rows)
        if len(rows) < BATCH:  # if that was not the last of them, somebody has deleted some
            lane.events -= lane.unloaded
            lane.unloaded = 0
        return bool(rows)

    def give_back(self, entry: Entry) -> bool:
        """Take a leased entry back to its old place; False if it is no longer leased."""
        stored = cast("StoredEntry", entry)
        with self._lock:
            if stored in self._late:  # for others to send, once it is closed
                self._late.discard(stored)
                return True
            return stored.lane.give_back(stored)

    def settle(self, entry: Entry) -> bool:
        """Forget a leased entry; False if it is no longer leased."""
        stored = cast("StoredEntry", entry)
        with self._lock:
            if stored in self._late:
                self._late.discard(stored)
                self.kept -= stored.number > 0
                self.taken_over += stored.number < 0
            elif not stored.lane.settle(stored):
                return False
            self._forget(stored)
            return True

    def refuse(self, entry: Entry, status: int | None, why: str) -> bool:
        """Forget a leased entry that is never to be delivered; False if it is no longer leased."""
        return self.settle(entry)

    def holds(self, entry: Entry) -> bool:
        """Tell whether an entry is still leased."""
        stored = cast("StoredEntry", entry)
        return stored.lane.holds(stored) or stored in self._late

    def abandon(self) -> list[StoredEntry]:
        """End: leave what is in the file to others, and return what is not, in order."""
        with self._lock:
            if not self._inside:
                self._save()
            lost: list[StoredEntry] = []
            for lane in (self._own, self._spare, self._foreign):
                on_their_way = {each for each in lane.entries() if lane.holds(each)}
                for each in cast("list[StoredEntry]", lane.abandon()):
                    if not each.row:
                        lost.append(each)
                        continue
                    self.kept += each.number > 0
                    if each in on_their_way:
                        self._late.add(each)
            self.kept += self._own.unloaded
            self.taken_over -= self._foreign.events
            self._ending += [lane for lane in (self._own, self._foreign) if lane.owner]
            self._own, self._foreign = Lane(self._window), Lane(self._window)
            self._ready = False
            self._gone, self._greedy = True, False
            self._end()
            return sorted(lost, key=lambda each: each.number)

    def before_fork(self) -> None:
        """Close the file: SQLite cannot be open in two processes by a fork."""
        self._upkeep.acquire()
        self._lock.acquire()
        if not self._inside:
            self._shut()

    def after_fork(self) -> None:
        """Go on in the parent, where the next event opens the file."""
        self._lock.release()
        self._upkeep.release()

    def disown(self) -> None:
        """Leave everything to the parent, in a forked child."""
        for lane in (self._own, self._foreign, *self._ending):
            if lane.lock is not None:
                lane.lock.close()
        connection = self._file.leave()
        if connection is not None:  # there were no hooks, or this is a finalizer within SQLite
            inherited[self._path] = connection
