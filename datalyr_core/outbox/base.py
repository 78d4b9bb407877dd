"""The protocol of an outbox, and what waits in one."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol

from datalyr_core.event import Event


class Entry:
    """Hold one accepted event: its body, encoded once, and how its delivery went so far."""

    __slots__ = ("attempts", "body", "failed_flushes", "number")

    def __init__(self, body: bytes) -> None:
        """Begin with nothing tried."""
        self.body = body
        self.number = 0  # the order of acceptance; the outbox sets it
        self.attempts = 0  # of the send that is under way
        self.failed_flushes = 0

    @property
    def event(self) -> Event:
        """Return the event, for hooks; it is read back only when one is there to see it."""
        return Event.from_body(self.body)


class Outbox(Protocol):
    """Keep events from acceptance until they are settled. Safe to use from any thread.

    Every entry is waiting, or leased to a sender. What is leased counts against the bound.
    """

    @property
    def accepted(self) -> int:
        """Return how many events were ever put in."""

    @property
    def waiting(self) -> int:
        """Return how many entries are waiting, without those that are leased."""

    def __len__(self) -> int:
        """Return how many entries there are, waiting or leased."""

    def put(self, body: bytes) -> Sequence[Entry]:
        """Take an event in, and return the oldest waiting ones that made room for it."""

    def lease(self, *, patient: bool, unless: Container[int] = ()) -> Entry | None:
        """Hand out the oldest waiting entry; None if there is none.

        Args:
            unless: Numbers of entries to pass over, which are to wait some more.
            patient: Pass over an entry that has failed far more often than others, so that
                in a long outage no single event is the one that is tried every time.
        """

    def give_back(self, entry: Entry) -> bool:
        """Take a leased entry back to its old place; False if it is no longer leased."""

    def settle(self, entry: Entry) -> bool:
        """Forget a leased entry; False if it is no longer leased."""

    def holds(self, entry: Entry) -> bool:
        """Tell whether an entry is still leased."""

    def abandon(self) -> Sequence[Entry]:
        """Give up everything, leased or waiting, and return it in order."""
