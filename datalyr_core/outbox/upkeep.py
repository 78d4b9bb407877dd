"""What is done beside the sends: deleting, taking over, writing the log back."""

from __future__ import annotations

import time
from functools import partial

from datalyr_core.outbox.schema import Unusable
from datalyr_core.outbox.sqlite_file import OutboxFile, checkpoint
from datalyr_core.outbox.store import FAILURES, SETTLE_WITHIN, Store

SOON = 0.05  # seconds


class Upkeep(Store):
    """Look after the file, in a sender's threads."""

    def tend(self) -> float | None:
        """Delete what is settled, look for dead owners, write the log back."""
        now = time.monotonic()
        if self._settled or self._ending:
            with self._lock:
                if not self._inside and self._settled_is_due(now):
                    self._write_settled()
                self._end()
        if now >= self._look_at:
            self._look()
        if self._news:
            self._tell()
        if self._gone:
            return None
        pause = max(self._look_at - time.monotonic(), 0.0)
        return min(pause, SETTLE_WITHIN) if self._settled else max(pause, SOON)

    def note(self, trouble: str) -> None:
        """Remember why the ingest takes nothing, for people who look into the file."""
        self._trouble = trouble

    def take_over(self) -> bool:
        """Count what dead owners left behind among this process's own; tell if there is any."""
        with self._upkeep:
            with self._lock:
                self._greedy = not self._gone  # or a drain was under way when it was closed
            if not self._foreign.in_all:
                with self._lock:
                    self._write_settled()  # is through with the last one
                self._look()
        return self._foreign.in_all > 0

    def _look(self) -> None:
        """Do what nobody waits for, one thread at a time."""
        if not self._upkeep.acquire(blocking=False):
            return
        try:
            if self._looking or self._inside:  # a finalizer that flushes, in the midst of it
                return
            self._looking = True
            self._look_at = time.monotonic() + self._interval
            with self._lock:
                usable = self._mended() and not self._gone and self._opened()
                if usable:
                    self._save()
                    self._in_file(self._show)
            if usable and not self._broken:
                self._look_in_file()
            with self._lock:
                self._is_well()
        finally:
            self._looking = False
            self._upkeep.release()

    def _look_in_file(self) -> None:
        """Look for dead owners, on a connection of its own: nobody waits for that."""
        second = OutboxFile(self._path)
        try:
            if not self._file.is_current():
                raise Unusable("it was moved away or removed")
            checkpoint(self._path)
            if not self._foreign.owner:
                self._adopt(second)
        except FAILURES as error:
            with self._lock:
                self._fail(error)
        finally:
            second.close()

    def _show(self) -> None:
        """Show other processes that this one lives, and what it has."""
        for lane in (self._own, self._foreign):
            # Where somebody has removed the lock's file, it passes for dead; but for where the
            # database is gone too, which is to be begun anew.
            if lane.lock and not lane.lock.is_current() and self._file.is_current():
                lock = self._file.hold(lane.owner, self._sink, self._since)
                if lock is not None:
                    lane.lock.close()
                    lane.lock = lock
        self._publish()

    def _adopt(self, file: OutboxFile) -> None:
        """Take over the events of the oldest owner that is dead."""
        for owner in file.owners(self._sink):
            if owner == self._own.owner or any(lane.owner == owner for lane in self._ending):
                continue
            lock = file.claim(owner)
            if lock is None:
                continue
            events, size = file.measure(owner)
            if not events:
                file.remove(owner, lock)
                continue
            with self._lock:
                if not self._gone:
                    self._foreign.connect(owner, lock, events, size)
                    self.taken_over += events
                    self._in_file(self._publish)  # these were the room of others until now
                else:  # it was abandoned meanwhile; these may be its own
                    lock.close()
            return

    def _end(self) -> None:
        """Close what was abandoned once nothing of it is on its way any more."""
        if self._late or self._inside or not self._ending:
            return
        if not self._broken:
            self._write_settled()
        for lane in self._ending:
            if not self._broken:
                done = partial(lane.finish, self._file)
                self._in_file(partial(self._publish_one, lane) if lane.events else done)
            lane.disconnect()
        self._ending.clear()
        if not self._own.owner:
            self._shut()
