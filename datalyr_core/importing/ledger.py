"""The ledger: which rows are under way, and what became of the others."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from datalyr_core.event import DropReason, Event
from datalyr_core.importing.rejects import Rejects
from datalyr_core.importing.rows import Row
from datalyr_core.importing.state import State

EXAMPLES = 10  # rejected rows that are shown
_MOST_REASONS = 20  # that are counted one by one
_ROUNDS = 3  # of ten failed passes each, while others were delivered


class Ledger:
    """Keep the books of an import. Safe to use from any thread.

    Attributes:
        state: How far the import came.
        examples: The first rejected rows of this run: line and reason.
        halted: Why the ingest will take nothing at all, if it said so.
        begun: How many rows this run has begun.
    """

    def __init__(self, state: State, path: Path | None, rejects: Rejects) -> None:
        """Go on from a state.

        Args:
            state: How far an earlier run came.
            path: Where to keep the state, if anywhere.
            rejects: Where rejected rows go.
        """
        self.state = state
        self.examples: list[tuple[int, str]] = []
        self.halted: str | None = None
        self.begun = 0
        self._path = path
        self._rejects = rejects
        self._rows_before, self._left = state.rows, frozenset(state.unsettled)
        self._unsettled = set(state.unsettled)
        self._under_way: dict[str, deque[Row]] = {}  # by event id, which rows may share
        self._again: deque[Event] = deque()
        self._trouble: tuple[float, str] | None = None
        self._saved = (0, state.delivered, state.rejected)
        self._lock = threading.Lock()

    # Rows

    def is_settled(self, row: Row) -> bool:
        """Tell whether an earlier run has settled a row."""
        return row.number <= self._rows_before and row.number not in self._left

    def begin(self, row: Row, event_id: str) -> None:
        """Note that a row is under way from here on."""
        with self._lock:
            self._note(row)
            self._unsettled.add(row.number)
            self._under_way.setdefault(event_id, deque()).append(row)

    def reject(self, row: Row, why: str) -> None:
        """Note that a row makes no event."""
        with self._lock:
            self._note(row)
            self._count_rejected(row, why)

    @property
    def busy(self) -> bool:
        """Tell whether rows are under way."""
        return bool(self._under_way)

    # What the ingest and the client say

    def deliver(self, event_id: str) -> None:
        """Note that the ingest took an event."""
        with self._lock:
            self._trouble = None
            if self._settle(event_id):
                self.state.delivered += 1

    def refuse(self, event_id: str, why: str) -> None:
        """Note that the ingest refused an event for good."""
        with self._lock:
            self._trouble = None
            if row := self._settle(event_id):
                self._count_rejected(row, why)

    def fail(self, why: str) -> None:
        """Note that the ingest gave no answer that settles anything."""
        self._trouble = self._trouble or (time.monotonic(), why)

    def halt(self, why: str) -> None:
        """Note that the ingest will take nothing at all."""
        self.halted = self.halted or why

    def trouble(self, seconds: float) -> str | None:
        """Return what is wrong with the ingest, if something was for some seconds."""
        since, why = self._trouble or (0.0, None)
        return why if time.monotonic() - since >= seconds else None

    def on_drop(self, events: Sequence[Event], reason: str) -> None:
        """Hear what the client gave up; but for what is refused, it is for another try."""
        if reason != DropReason.PERMANENT_CLIENT_ERROR:
            self._again.extend(event for event in events if not self._is_bad(event))

    def again(self) -> Event | None:
        """Return an event to track again, if there is one."""
        return self._again.popleft() if self._again else None

    def _is_bad(self, event: Event) -> bool:
        """Tell whether it is the event that the ingest cannot take, since it takes others."""
        with self._lock:
            rows = self._under_way.get(event.event_id)
            if not rows:  # the ingest has just answered after all
                return True
            row = rows[0]
            if self.state.delivered > row.seen_delivered:
                row.rounds, row.seen_delivered = row.rounds + 1, self.state.delivered
            if row.rounds <= _ROUNDS:
                return False
            self._settle(event.event_id)
            self._count_rejected(row, "the ingest fails at it again and again, and takes others")
            return True

    # Books

    def save(self, *, sync: bool = False) -> None:
        """Save the state, if there is a file for it, after the rejected rows.

        Raises:
            Halt: Either file cannot be written.
        """
        with self._lock:
            books = self.begun, self.state.delivered, self.state.rejected
            if books == self._saved and not sync:
                return
            self._saved = books
            self._rejects.flush()
            self.state.rejects_size = self._rejects.size
            if self._path is not None:
                state = replace(self.state, unsettled=sorted(self._unsettled))
                state.save(self._path, sync=sync)

    def _note(self, row: Row) -> None:
        self.begun += 1
        row.seen_delivered = self.state.delivered
        if row.number > self.state.rows:
            self.state.rows, self.state.last_line = row.number, row.last_line
            self.state.mark = row.mark

    def _settle(self, event_id: str) -> Row | None:
        """Take the oldest row of an event id off the books."""
        rows = self._under_way.get(event_id)
        if rows is None:  # answered twice: after a time-out, for example
            return None
        row = rows.popleft()
        if not rows:
            del self._under_way[event_id]
        self._unsettled.discard(row.number)
        return row

    def _count_rejected(self, row: Row, why: str) -> None:
        self._unsettled.discard(row.number)
        self.state.rejected += 1
        kind = why.partition(":")[0].partition(", not ")[0]
        reasons = self.state.reasons
        if kind not in reasons and len(reasons) >= _MOST_REASONS:
            kind = "other reasons"
        reasons[kind] = reasons.get(kind, 0) + 1
        if len(self.examples) < EXAMPLES:
            self.examples.append((row.line, why))
        self._rejects.write(row.raw)
