"""Looking on from the outside: what the client sends, what it logs."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from datalyr_core import Reply, TransportError
from datalyr_core.retry import Outcome, outcome_of


class Watched:
    """Stand before a transport and count.

    Attributes:
        sends: How many there were.
        failed: How many of them brought no answer, or one that may go away by itself.
        in_flight, most: How many there are at the same time, now and at most.
        answer, took: What the last of them brought, and in what time.
    """

    def __init__(self, real: Any) -> None:
        self._real = real
        self._lock = threading.Lock()
        self.sends = self.failed = self.in_flight = self.most = 0
        self.answer: Reply | TransportError = TransportError("nothing was sent")
        self.took = 0.0

    def send(self, body: bytes) -> Reply:
        with self._lock:
            self.sends += 1
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
        begun = time.monotonic()
        answer: Reply | TransportError = TransportError("it was interrupted")
        try:
            answer = self._real.send(body)
            return answer
        except TransportError as error:
            answer = error
            raise
        finally:
            with self._lock:
                self.in_flight -= 1
                self.failed += is_failure(answer)
                self.answer, self.took = answer, time.monotonic() - begun

    def forget(self) -> None:
        """Count from here on."""
        with self._lock:
            self.sends = self.failed = 0
            self.most = self.in_flight


def is_failure(answer: Reply | TransportError) -> bool:
    """Tell whether an answer is none, or one that may go away by itself."""
    return isinstance(answer, TransportError) or outcome_of(answer.status) is Outcome.TRANSIENT


class LogLines(logging.Handler):
    """Keep what is told to whoever operates the application."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")

    def __enter__(self) -> LogLines:
        logging.getLogger("datalyr").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("datalyr").removeHandler(self)
