"""Which tracker belongs to the code that is running."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

import datalyr_core

if TYPE_CHECKING:
    from datalyr_core.tracker import Tracker

_current: ContextVar[Tracker | None] = ContextVar("datalyr_tracker", default=None)
_finders: list[Callable[[], Tracker | None]] = []


# For a middleware, of whose cost a block is a good part. It returns what `leave` takes.
enter = _current.set


def leave(token: Token[Tracker | None]) -> None:
    """Put back the tracker that was the current one before `enter`.

    It may be another context by now (a generator that is closed by the garbage collector);
    then there is nothing to put back.

    Args:
        token: What `enter` returned.
    """
    try:  # noqa: SIM105 - suppress() costs as much as all the rest
        _current.reset(token)
    except ValueError:
        pass


class activate:  # noqa: N801 - it reads as a verb: with activate(tracker)
    """Make a tracker the current one within a block."""

    __slots__ = ("_token", "_tracker")

    def __init__(self, tracker: Tracker | None) -> None:
        """Take the tracker, or None for a block without one."""
        self._tracker = tracker

    def __enter__(self) -> None:
        """Begin the block."""
        self._token = enter(self._tracker)

    def __exit__(self, *error: object) -> None:
        """End the block."""
        leave(self._token)


def current_tracker() -> datalyr_core.Tracker | None:
    """Return the tracker of the request that is being served here, or None outside one."""
    tracker = _current.get()
    if tracker is not None:
        return tracker
    for find in _finders:
        tracker = find()
        if tracker is not None:
            return tracker
    return None


def add_finder(find: Callable[[], Tracker | None], *, first: bool = False) -> None:
    """Ask a framework that keeps a request context of its own.

    Args:
        find: Returns that framework's current tracker, or None; must not raise.
        first: Whether it is asked before those that are there already.
    """
    if find not in _finders:
        _finders.insert(0 if first else len(_finders), find)
