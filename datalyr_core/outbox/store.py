"""What a process has of the durable outbox, in the file and in memory, and a file that fails.

The first of three layers: `Store` ← `Upkeep` ← `SqliteOutbox`. Whoever calls a method of this
one holds the lock.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from datalyr_core.outbox.base import is_owned
from datalyr_core.outbox.lane import Lane, StoredEntry
from datalyr_core.outbox.schema import BeingOpened, Unusable, owner_of
from datalyr_core.outbox.sqlite_file import BUSY, OutboxFile, is_corruption

logger = logging.getLogger("datalyr.outbox")

SETTLED = 8  # events that are deleted at once; a crash makes them be sent again
SETTLE_WITHIN = 0.1  # seconds
LOOK_EVERY = 10.0  # seconds between two looks for dead owners, at most
RETRY_FIRST, RETRY_MOST = 1.0, 30.0  # seconds until a file that failed is tried again

FAILURES = (sqlite3.Error, OSError, Unusable)

# Connections that a child inherited in the middle of something. SQLite can neither use nor
# close them there, nor open the same file again: it believes that it holds the parent's locks.
inherited: dict[Path, sqlite3.Connection] = {}


class Store:
    """Hold three lanes of events, and the file that they are in."""

    def __init__(
        self,
        path: Path,
        *,
        sink: str,
        limit: int,
        most_bytes: int,
        window: int,
        interval: float,
    ) -> None:
        """Begin closed; the first event opens the file.

        Args:
            path: The file.
            sink: Where the events go; those for others are left alone.
            limit: How many events the file holds at most, of all processes.
            most_bytes: How many bytes of events.
            window: How many events to have in memory at most, in a lane.
            interval: Seconds between two looks for events of dead processes.
        """
        self.limit = limit
        self.accepted = self.taken_over = self.kept = 0
        self._path = path
        self._sink = sink
        self._most_bytes = most_bytes
        self._window = window
        self._interval = min(interval, LOOK_EVERY)
        self._file = OutboxFile(path)
        self._ready = False  # whether the file is open, and this process an owner
        self._execute: Any = None  # what runs a statement on its connection
        self._own, self._foreign, self._spare = Lane(window), Lane(window), Lane(window)
        self._ending: list[Lane] = []  # abandoned, while some of their events are on their way
        self._late: set[StoredEntry] = set()  # these
        self._settled: list[int] = []  # ids that are to be deleted
        self._settled_since = 0.0
        self._since = 0.0  # when this process became an owner, on the clock
        self._room, self._room_bytes = limit, most_bytes  # for the own and the foreign lane
        self._foreign_first = True  # which lane has its turn
        self._greedy = False  # whether the foreign lane counts as our own
        self._trouble: str | None = None  # why the ingest takes nothing, once that is known
        self._gone = False  # whether it was abandoned
        self._broken = self._corrupt = False  # whether the file is out of use
        self._said = False  # whether the log says so
        self._retry_at = self._look_at = self._pause = 0.0
        self._news: list[tuple[int, str]] = []  # to be logged
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._lock = threading.RLock()
        self._inside = False  # whether this thread is in SQLite
        self._upkeep = threading.RLock()  # held through a look; always before the other
        self._looking = False

    @property
    def is_locked_here(self) -> bool:
        """Tell whether this very thread is in the middle of something."""
        return is_owned(self._lock)

    @property
    def held(self) -> int:
        """Return how many entries there are in all."""
        return self._own.in_all + len(self._spare) + self._foreign.in_all

    def _opened(self) -> bool:
        """Open the file if it is closed; False if it cannot be used."""
        if not (self._ready or self._broken):
            self._in_file(self._open)
        return self._ready

    def _open(self) -> None:
        if self._path in inherited:
            raise Unusable("this process was forked without Python's hooks while it was open")
        # Who tracks waits for others once, not whenever it is tried again.
        connection = self._file.open(wait=0.0 if self._pause else BUSY)
        own = self._own
        # Its number may be another's by now, where somebody has removed all files.
        if own.owner and not self._file.has_as_own(own.owner, self._since):
            self._start_over()
        if not own.owner:
            self._since = time.time()
            own.connect(*self._file.register(self._sink, self._since))
        self._publish()
        self._execute = connection.cursor().execute  # one cursor for all that is put in
        self._ready = True

    def _start_over(self) -> None:
        """Go on in another file: what is in memory is all that is left here."""
        self.kept += self._own.unloaded
        for lane in (self._own, self._foreign, self._spare):
            for entry in lane.entries():
                entry.row = 0
            if lane.lock is not None:
                lane.lock.remove()
            lane.disconnect()
        self._settled.clear()

    def _in_file(self, act: Callable[[], Any]) -> Any:
        """Do something in the file; None if that failed."""
        self._inside = True
        try:
            return act()
        except FAILURES as error:
            self._fail(error)
            return None
        finally:
            self._inside = False

    def _fail(self, error: BaseException) -> None:
        """Do without the file for a while."""
        # A crowd at the start is through by the next try; what could not wait goes in then.
        in_a_crowd = isinstance(error, BeingOpened) and not self._pause
        if not self._said and not in_a_crowd:
            self._said = True
            told = f"{type(error).__name__}: {error}"
            self._news.append(
                (
                    logging.ERROR,
                    f"the outbox {self._path} cannot be used ({told}); until it can be, events "
                    f"wait in memory, {self._window} at most, and are lost if the process is",
                )
            )
        self._broken = True
        self._corrupt = self._corrupt or is_corruption(error)
        self._pause = min(2 * self._pause or RETRY_FIRST, RETRY_MOST)
        self._retry_at = self._look_at = time.monotonic() + self._pause
        self._shut()

    def _mended(self) -> bool:
        """Tell whether the file is in use; try it again if it is not, and the time has come."""
        if not self._broken:
            return True
        if time.monotonic() < self._retry_at:
            return False
        self._broken = False
        if self._corrupt:
            aside = self._in_file(self._file.set_aside)
            self._corrupt = self._broken
            if aside:
                told = f"the outbox {self._path} was damaged and is now {aside.name}"
                self._news.append((logging.ERROR, f"{told}; a new one is in its place"))
        return self._opened()

    def _is_well(self) -> None:
        """Say that the file is in use again, once all that was to be done there could be."""
        if self._broken:
            return
        self._pause = 0.0
        if self._said:
            self._said = False
            told = f"the outbox {self._path} is in use again"
            self._news.append((logging.WARNING, told))

    def _save(self) -> None:
        """Write into the file what is only in memory."""
        bare = [
            (lane, each)
            for lane in (self._spare, self._own)
            for each in lane.entries()
            if not each.row
        ]
        if not bare or not self._opened():
            return
        own = self._own
        base = own.base
        # What is on its way cannot be left to be read again in its place.
        bare = [
            (lane, each)
            for lane, each in bare
            if not (own.unloaded and base + each.number > own.position and lane.holds(each))
        ]
        rows = [(base + each.number, each.at, each.stored) for _, each in bare]
        self._in_file(lambda: self._file.add(rows))
        if self._broken:
            return
        for (lane, each), (row, _, body) in zip(bare, rows, strict=True):
            own.events += 1
            own.size += len(body)
            if own.unloaded and row > own.position:
                lane.discard(each)  # it will be read behind what comes before it
                own.unloaded += 1
            else:
                each.row = row
                own.position = max(own.position, row)

    def _publish_one(self, lane: Lane) -> None:
        self._file.publish(lane.owner, lane.events, lane.size, self._trouble)

    def _publish(self) -> None:
        lanes = [lane for lane in (self._own, self._foreign) if lane.owner]
        for lane in lanes:
            self._publish_one(lane)
        events, size = self._file.others([lane.owner for lane in lanes])
        self._room, self._room_bytes = self.limit - events, self._most_bytes - size

    def _forget(self, entry: StoredEntry) -> None:
        """Have an event deleted soon."""
        if not entry.row:
            return
        owner = owner_of(entry.row)
        for lane in (self._own, self._foreign, *self._ending):
            if lane.owner == owner:
                lane.events -= 1
                lane.size -= len(entry.stored)
        if not self._settled:
            self._settled_since = time.monotonic()
        self._settled.append(entry.row)
        entry.row = 0

    def _settled_is_due(self, now: float) -> bool:
        if len(self._settled) >= SETTLED or not self.held:
            return bool(self._settled)
        return bool(self._settled) and now - self._settled_since >= SETTLE_WITHIN

    def _write_settled(self) -> None:
        """Delete what is settled; as long as that fails, a crash makes it be sent again."""
        if self._broken or self._inside:
            return
        # Where a fork has closed it, the file of this name may be another one by now.
        if self._own.owner and not self._opened():
            return
        ids = self._settled.copy()
        if ids:  # or a file that is closed would be opened for nothing
            self._in_file(lambda: self._file.delete(ids))
        if not self._broken:
            del self._settled[: len(ids)]
        foreign = self._foreign
        if foreign.owner and not foreign.in_all and not self._broken:
            self._in_file(partial(foreign.finish, self._file))
            self._look_at = 0.0  # there may be more

    def _shut(self) -> None:
        """Close the file; the locks stay."""
        self._ready, self._execute = False, None  # keeps no connection
        with suppress(sqlite3.Error):  # it is gone all the same
            self._file.close()

    def _tell(self) -> None:
        while self._news:
            level, message = self._news.pop(0)
            logger.log(level, "%s", message)
