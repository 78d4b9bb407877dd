"""Which tracker belongs to the code that is running."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from datalyr_core.tracker import Tracker

_current: ContextVar[Tracker | None] = ContextVar("datalyr_tracker", default=None)
_finders: list[Callable[[], Tracker | None]] = []


@contextmanager
def activate(tracker: Tracker | None) -> Iterator[None]:
    """Make a tracker the current one within a block.

    The block may end in another context than it began in (a generator that is closed by
    the garbage collector); then there is nothing to put back.
    """
    token = _current.set(tracker)
    try:
        yield
    finally:
        with suppress(ValueError):
            _current.reset(token)


def current_tracker() -> Tracker | None:
    """Return the tracker of the request that is being served here, or None outside one."""
    tracker = _current.get()
    if tracker is not None:
        return tracker
    for find in _finders:
        tracker = find()
        if tracker is not None:
            return tracker
    return None


def add_finder(find: Callable[[], Tracker | None]) -> None:
    """Ask a framework that keeps a request context of its own.

    Args:
        find: Returns that framework's current tracker, or None; must not raise.
    """
    if find not in _finders:
        _finders.append(find)
