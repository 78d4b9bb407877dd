"""The run: one thread reads and tracks, the calling one looks after everything else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from enum import Enum

from datalyr_core.client import Datalyr
from datalyr_core.event import Event
from datalyr_core.importing.ledger import Ledger
from datalyr_core.importing.mapping import Columns
from datalyr_core.importing.progress import Progress
from datalyr_core.importing.rows import Halt, Refused, Row

TICK = 0.1  # seconds between one look and the next
SAVE_EVERY = 100  # rows: what a crash makes to be delivered again, beside what is under way
GRACE = 5.0  # seconds for what is under way, after the first Ctrl+C
PATIENCE = 2.0  # seconds of failures before they are worth a line


class End(Enum):
    """Say how an import ended."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    HALTED = "halted"


class Run:
    """Import rows."""

    def __init__(
        self,
        client: Datalyr,
        ledger: Ledger,
        progress: Progress,
        position: Callable[[], int],
        interruptions: Callable[[], int],
    ) -> None:
        """Bring the parts together.

        Args:
            client: Its transport tells the ledger what becomes of events.
            ledger: Keeps the books.
            progress: Shows how far it is.
            position: Tells how far the file was read.
            interruptions: Tells how often Ctrl+C was pressed.
        """
        self._client = client
        self._ledger = ledger
        self._progress = progress
        self._position = position
        self._interruptions = interruptions
        self._stop = threading.Event()
        self._done = threading.Event()
        self._complete = False
        self._error: Exception | None = None
        self._in_trouble = False

    def run(self, rows: Iterable[Row], columns: Columns, rate: float | None) -> End:
        """Import rows until there are no more, or until something ends it before.

        Raises:
            Halt: The state cannot be written.
        """
        worker = threading.Thread(
            target=self._work, args=(rows, columns, _Pace(rate, self._stop)), daemon=True
        )
        worker.start()
        try:
            while not self._done.wait(TICK) and not self._is_over():
                self._look()
        except Halt as error:
            self._error = error
        self._stop.set()
        self._conclude()
        self._ledger.save(sync=True)
        self._progress.erase()
        if isinstance(self._error, Halt):
            self._ledger.halt(str(self._error))
        elif self._error is not None:
            raise self._error
        if self._ledger.halted:
            return End.HALTED
        if not self._complete:
            return End.INTERRUPTED
        self._say_that_it_is_over()  # it may have ended between two looks
        return End.COMPLETE

    # In the calling thread

    def _is_over(self) -> bool:
        return bool(self._ledger.halted or self._interruptions())

    def _look(self) -> None:
        trouble = self._ledger.trouble(PATIENCE)
        if trouble and not self._in_trouble:
            self._progress.say(f"the ingest does not take events ({trouble}); waiting for it")
            self._in_trouble = True
        elif not trouble:
            self._say_that_it_is_over()
        self._ledger.save()
        self._progress.draw(self._ledger.begun, self._position())

    def _say_that_it_is_over(self) -> None:
        if self._in_trouble:
            self._progress.say("the ingest takes events again")
        self._in_trouble = False

    def _conclude(self) -> None:
        """Give what is under way some time; a second Ctrl+C takes it back."""
        if self._interruptions() and not self._ledger.halted:
            self._progress.say("finishing what is under way; Ctrl+C again to stop at once")
        grace = 0.0 if self._ledger.halted else GRACE
        closing = threading.Thread(target=self._client.close, args=(grace,), daemon=True)
        closing.start()
        while closing.is_alive() and self._interruptions() < 2:
            closing.join(TICK)

    # In the worker

    def _work(self, rows: Iterable[Row], columns: Columns, pace: _Pace) -> None:
        try:
            with self._client.backpressure():
                for row in rows:
                    if self._stop.is_set():
                        return
                    if not self._ledger.is_settled(row):
                        self._take(row, columns, pace)
                while self._ledger.busy and not self._stop.wait(TICK / 10):
                    self._track_again()
            self._complete = not self._ledger.busy
        except Exception as error:
            self._error = error
        finally:
            self._done.set()

    def _take(self, row: Row, columns: Columns, pace: _Pace) -> None:
        self._track_again()
        try:
            event = columns.event(row)
        except Refused as problem:
            self._ledger.reject(row, str(problem))
            return
        pace.wait()
        self._ledger.begin(row, event.event_id)  # first: a crash in between must not lose it
        self._track(event)
        if row.number % SAVE_EVERY == 0:
            self._ledger.save()

    def _track_again(self) -> None:
        while event := self._ledger.again():
            self._track(event)

    def _track(self, event: Event) -> None:
        self._client.track(
            event.user_id,
            event.event,
            event.properties,
            anonymous_id=event.anonymous_id,
            event_id=event.event_id,
            timestamp=event.timestamp,
        )


class _Pace:
    """Let no more than some events a second pass."""

    def __init__(self, rate: float | None, stop: threading.Event) -> None:
        self._step = 1 / rate if rate else 0.0
        self._stop = stop
        self._next = time.monotonic()

    def wait(self) -> None:
        now = time.monotonic()
        if self._step and self._next > now:
            self._stop.wait(self._next - now)
        self._next = max(self._next, now) + self._step
