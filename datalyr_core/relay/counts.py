"""What a relay counts, and the transport that counts what the ingest answers."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from datalyr_core.delivery.base import Between, Reply
from datalyr_core.errors import TransportError
from datalyr_core.retry import Outcome, outcome_of

NO_ANSWER = "none"  # in the place of a status


@dataclass(slots=True)
class Counts:
    """Count what became of messages; one thread alone writes it.

    Attributes:
        messages: Taken from the broker.
        received: Events in them.
        dead: Events, or whole messages that cannot be read, in the dead letters.
        returned: Messages put back because they were held too long, or at the end.
    """

    messages: int = 0
    received: int = 0
    dead: int = 0
    returned: int = 0


@dataclass(slots=True)
class Answers:
    """Know what the ingest answered.

    Attributes:
        by_status: How often each status came, by its number as text, or "none".
        in_flight: How many sends are under way.
        last: The last status; None if no answer came to the last send.
        last_delivery: When an event was last delivered, on the monotonic clock.
    """

    by_status: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    last: int | None = None
    last_delivery: float | None = None


class CountingTransport(Between):
    """Send by another transport, and count what it answers."""

    def __init__(self, transport: Any) -> None:
        """Stand before a transport."""
        super().__init__(transport)
        self._lock = threading.Lock()
        self._answers = Answers()

    @property
    def answers(self) -> Answers:
        """Return what the ingest answered so far, as a snapshot."""
        with self._lock:
            return replace(self._answers, by_status=self._answers.by_status.copy())

    def send(self, body: bytes) -> Reply:
        """Send one body.

        Raises:
            TransportError: No answer came.
        """
        with self._under_way():
            answer: Reply = self._transport.send(body)
            self._note(answer.status)
            return answer

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        with self._lock:
            self._answers.in_flight += 1
        try:
            yield
        except TransportError:
            self._note(None)
            raise
        finally:
            with self._lock:
                self._answers.in_flight -= 1

    def _note(self, status: int | None) -> None:
        answers = self._answers
        with self._lock:
            answers.by_status[NO_ANSWER if status is None else str(status)] += 1
            answers.last = status
            if status is not None and outcome_of(status) is Outcome.DELIVERED:
                answers.last_delivery = time.monotonic()
