"""Recordings: while one is active, every client's events go there instead of being sent.

Tests make them (`datalyr_core.testing`). A recording is the process's, not one context's or
one thread's: a live server's threads, a thread pool and a client that was made at start-up
all record.
"""

from __future__ import annotations

import threading
from typing import Protocol

from datalyr_core.event import DropReason, Event


class Recorder(Protocol):
    """Take events in place of the sender. Called from any thread."""

    def take(self, event: Event) -> None:
        """Take an event, as the ingest would have received it."""

    def lose(self, event: Event, reason: DropReason, why: str) -> None:
        """Hear of an event that was dropped by the call that tracked it."""


# Whoever records. Replaced as a whole, so that it is read without the lock.
active: tuple[Recorder, ...] = ()
_lock = threading.Lock()


def begin(recorder: Recorder) -> None:
    """Let a recorder have all events from here on; others that are active go on."""
    global active
    with _lock:
        active = (*active, recorder)


def end(recorder: Recorder) -> None:
    """Let it have no more of them; without any, clients send again."""
    global active
    with _lock:
        active = tuple(each for each in active if each is not recorder)


def is_active() -> bool:
    """Tell whether events are recorded."""
    return bool(active)


def latest() -> Recorder | None:
    """Return the recorder that began last, or None."""
    return active[-1] if active else None


def take(body: bytes) -> bool:
    """Give an encoded event to the recorders; False if there is none."""
    recorders = active
    for recorder in recorders:
        recorder.take(Event.from_body(body))
    return bool(recorders)


def lose(event: Event, reason: DropReason, why: str) -> None:
    """Tell the recorders of an event that was dropped."""
    for recorder in active:
        recorder.lose(event, reason, why)
