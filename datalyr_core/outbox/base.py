"""The protocol of an outbox, and what waits in one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

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

    Some outboxes outlive their process. Such a one hands out more than this process put in:
    also what processes that have ended left behind. Those events wait and are leased like
    any others, but nobody who asks for what this process accepted has to wait for them.

    Nothing here logs or calls anything foreign, apart from `tend`, which is called with no
    lock held.
    """

    @property
    def patient(self) -> bool:
        """Tell whether no event is given up, however often the ingest has failed at it."""

    @property
    def durable(self) -> bool:
        """Tell whether what is not delivered stays for others when the process ends."""

    @property
    def limit(self) -> int:
        """Return how many entries there is room for."""

    @property
    def accepted(self) -> int:
        """Return how many events this process ever put in."""

    @property
    def taken_over(self) -> int:
        """Return how many events of other processes it took to deliver them."""

    @property
    def kept(self) -> int:
        """Return how many events of this process it left for others to deliver."""

    @property
    def waiting(self) -> int:
        """Return how many entries are waiting, without those that are leased."""

    @property
    def oldest(self) -> int | None:
        """Return the number of this process's oldest entry, waiting or leased, or None."""

    def __len__(self) -> int:
        """Return how many entries of this process there are, waiting or leased."""

    @property
    def held(self) -> int:
        """Return how many entries there are in all, those that were taken over included."""

    @property
    def is_locked_here(self) -> bool:
        """Tell whether this very thread is in the middle of something.

        That is, whether a signal's handler or a finalizer asks. It must wait for nobody: others
        may hold their locks while they wait for the outbox.
        """

    def put(self, body: bytes) -> Sequence[Entry]:
        """Take an event in, and return the oldest waiting ones that made room for it."""

    def lease(self, *, patient: bool, unless: Collection[int] = ()) -> Entry | None:
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

    def refuse(self, entry: Entry, status: int | None, why: str) -> bool:
        """Forget a leased entry that the ingest will never take; False if no longer leased.

        Args:
            entry: The entry.
            status: The HTTP status of the answer; None if it was not even sent.
            why: What the ingest said.
        """

    def holds(self, entry: Entry) -> bool:
        """Tell whether an entry is still leased."""

    def abandon(self) -> Sequence[Entry]:
        """End: leave what outlives the process to others, and return what is lost, in order.

        What is put in after that begins anew.
        """

    def tend(self) -> float | None:
        """Do what is due beside the sends, in a sender's thread, with no lock held.

        Returns:
            Seconds until it wants to be called again, though nothing happens; None for never.
        """

    def note(self, trouble: str) -> None:
        """Remember why the ingest takes nothing, for people who look into the outbox.

        It is called under the dispatcher's lock, and does nothing that takes time.

        Args:
            trouble: The reason; empty once the ingest takes events again.
        """

    def take_over(self) -> bool:
        """Count what others left behind among this process's own from here on.

        Returns:
            Whether there is any.
        """

    def before_fork(self) -> None:
        """Get ready: nothing that a child must not inherit is open until `after_fork`."""

    def after_fork(self) -> None:
        """Go on in the parent."""

    def disown(self) -> None:
        """Leave everything to the parent, in a forked child."""


def is_owned(lock: Any) -> bool:
    """Tell whether this thread holds an `RLock`, as `threading.Condition` asks one."""
    return bool(lock._is_owned())


class Ephemeral:
    """What an outbox that ends with its process has no need of."""

    durable = False
    taken_over = kept = 0

    def tend(self) -> None:
        """Do nothing, and never want to."""

    def note(self, trouble: str) -> None:
        """Do nothing: nobody can look into it."""

    def take_over(self) -> bool:
        """Do nothing: nobody leaves anything behind."""
        return False

    def before_fork(self) -> None:
        """Do nothing."""

    def after_fork(self) -> None:
        """Do nothing."""

    def disown(self) -> None:
        """Do nothing: a child has a copy."""
