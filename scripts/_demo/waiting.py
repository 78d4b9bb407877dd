"""Waiting that ends: when a condition holds, when time is up, or when somebody said stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

PAUSE = 0.05  # seconds between two looks at a condition


class DemoError(Exception):
    """What went wrong, as one sentence for a person."""


class Stopped(Exception):
    """Somebody pressed Ctrl+C, or sent a signal that asks to end."""


class Stop:
    """The wish to stop. A flag and no exception, so that no shutdown is cut in half."""

    def __init__(self) -> None:
        self._wished = threading.Event()

    def listen(self) -> None:
        """Take the signals by which people and systems end a program."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, lambda *_: self._wished.set())

    def check(self, seconds: float = 0) -> None:
        """Wait a little, and raise `Stopped` as soon as somebody wants to stop."""
        if self._wished.wait(seconds):
            raise Stopped

    def until(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise DemoError(f"waited {seconds:g} seconds in vain until {what}")
            self.check(PAUSE)
