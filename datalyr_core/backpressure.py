"""Backpressure: threads whose calls wait for room instead of dropping the oldest event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from datalyr_core.context import current_tracker
from datalyr_core.per_thread import PerThread
from datalyr_core.tracker import Tracker


class Wait(NamedTuple):
    """Hold how a thread waits: for how long, and within which request, if in any."""

    seconds: float | None
    tracker: Tracker | None


class Backpressure:
    """Know whether calls of this thread wait.

    Of a thread, not of a context: tasks and threads that copy one may serve requests.

    Attributes:
        in_use: Whether any thread's calls have ever waited; few programs have such threads.
    """

    def __init__(self) -> None:
        """Begin with calls that do not wait."""
        self.in_use = False
        self._wait: PerThread[Wait] = PerThread()

    @property
    def wait(self) -> Wait | None:
        """Return how this thread waits; None where it does not."""
        return self._wait.get()

    @property
    def applies(self) -> bool:
        """Tell whether a call waits now: not within a request that has begun since."""
        wait = self.wait
        return wait is not None and current_tracker() is wait.tracker

    @contextmanager
    def applied(self, seconds: float | None) -> Iterator[None]:
        """Let calls wait, each for some seconds at most."""
        self.in_use = True
        with self._wait.set_to(Wait(seconds, current_tracker())):
            yield

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Let calls not wait: a finalizer's may come while this very thread holds a lock."""
        with self._wait.set_to(None):
            yield
