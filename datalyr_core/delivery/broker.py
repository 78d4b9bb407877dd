"""A message broker: events are published there, and a relay takes them to the ingest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datalyr_core import guard
from datalyr_core.broker import message
from datalyr_core.broker.connection import prepare
from datalyr_core.broker.publisher import Publisher
from datalyr_core.config import Config
from datalyr_core.delivery.base import Batch, Reply, stale_until
from datalyr_core.errors import SendRefused, Unavailable

KEEP = 30.0  # seconds that an idle connection is kept: less than brokers and firewalls keep it

_ACCESS = "check the user and the password of broker, and what that user may do"
_QUEUE = "the queue is not there and cannot be made: make it, or let this user make it"
_FULL = "give the broker room, or have more relays: it is out of memory or disk"

# What an operator has to mend, by the names of the classes, of which each driver has its own.
_REMEDIES = {
    "AccessRefused": _ACCESS,
    "AuthenticationError": _ACCESS,
    "NoPermissionError": _ACCESS,
    "NotAllowed": "check the virtual host in broker, and that the user may use it",
    "NotFound": _QUEUE,
    "ChannelError": _QUEUE,  # NO_ROUTE, above all
    "Blocked": _FULL,
    "MessageNacked": "the queue is at its limit: raise it, or have more relays",
    "OutOfMemoryError": _FULL,
    "PreconditionFailed": "raise the broker's limit on the size of a message",
    "ReadOnlyError": "broker names a replica: write the address of the one that takes writes",
    "ResponseError": "the broker is there and refuses: look at its configuration and its log",
    "SSLCertVerificationError": "check the broker's certificate, or the name in broker",
}

# How RabbitMQ and Kafka, and SQS, say that a message is larger than they take.
_TOO_LARGE = ("message size", "message must be shorter than")


class BrokerTransport:
    """Publish events, as many in a message as wait, on a connection that is kept."""

    batch = Batch(events=message.MAX_EVENTS, size=message.MAX_BYTES)

    def __init__(self, config: Config) -> None:
        """Import what is needed; a connection is made by the first send.

        Raises:
            Exception: The URL cannot be read, or a package is missing.
        """
        self._url = config.broker or ""
        self._queue = config.broker_queue
        self._timeout = config.timeout
        self._hide = config.without_key
        prepare(self._url)
        self._elsewhere = guard.broker_elsewhere(self._url)
        self._idle: deque[_Kept] = deque()
        # By thread. No `threading.local`: one of before gevent has patched is the same for
        # all greenlets.
        self._deadlines: dict[int, float] = {}
        self._closed = False

    @property
    def deadline(self) -> float | None:
        """Return by when sends of this thread must be over, on the monotonic clock."""
        return self._deadlines.get(threading.get_ident())

    @deadline.setter
    def deadline(self, deadline: float | None) -> None:
        """Set it for this thread alone: others have their usual time."""
        if deadline is None:
            self._deadlines.pop(threading.get_ident(), None)
        else:
            self._deadlines[threading.get_ident()] = deadline

    def send_many(self, bodies: Sequence[bytes]) -> Reply:
        """Publish one message, again at once on a new connection if the kept one is dead.

        Raises:
            Unavailable: The broker has not confirmed it in time, or refuses; nothing that
                it may say makes an event wrong, but for its size.
            SendRefused: The broker takes no message as large as the event; or this is a test
                run, and the broker is not on this machine.
        """
        self._guard()
        begun, budget = time.monotonic(), self._budget()
        give_up_at = begun + budget
        publisher = self._alive()
        try:
            if publisher and self._is_published(publisher, bodies, begun, budget):
                return Reply(200)
            publisher = Publisher(self._url, self._queue, _left(give_up_at))
            self._publish(publisher, bodies, give_up_at)
        except Exception as error:  # drivers raise what they like
            if len(bodies) == 1 and _is_too_large(error):
                # The same for all such events, so that it is said once.
                raise SendRefused("the broker takes no message as large as the event") from None
            raise self._unavailable(error) from None  # its traceback may show a password
        return Reply(200)

    def try_out(self) -> None:
        """Connect, see to the queues and close again.

        Raises:
            Unavailable: It is not possible, and why.
            SendRefused: As `send_many`.
        """
        self._guard()
        try:
            Publisher(self._url, self._queue, self._budget()).close()
        except Exception as error:
            raise self._unavailable(error) from None

    def rest(self) -> None:
        """Close what has been idle for long: a quiet process needs no connection."""
        oldest = time.monotonic() - KEEP
        while (kept := self._pop()) is not None:
            if kept.since >= oldest:
                self._idle.append(kept)
                return
            kept.publisher.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed by whoever uses it."""
        self._closed = True
        while (kept := self._pop()) is not None:
            kept.publisher.close()

    def _guard(self) -> None:
        if self._elsewhere and (refusal := guard.refusal(self._elsewhere)):
            raise SendRefused(refusal)

    def _budget(self) -> float:
        """Return the seconds that this send may take."""
        if (deadline := self.deadline) is None:
            return self._timeout
        return max(min(self._timeout, deadline - time.monotonic()), 0.01)

    def _alive(self) -> Publisher | None:
        """Return a connection of an earlier send that is likely to be alive."""
        if self.deadline is not None:
            return None  # its waits may be longer than the time that is left
        self.rest()
        kept = self._pop()
        return kept and kept.publisher

    def _pop(self) -> _Kept | None:
        try:
            return self._idle.popleft()
        except IndexError:
            return None

    def _is_published(
        self, publisher: Publisher, bodies: Sequence[bytes], begun: float, budget: float
    ) -> bool:
        """Publish on a kept connection; False if that should be tried on a new one."""
        try:
            self._publish(publisher, bodies, begun + budget)
        except Exception as error:
            # Whatever it is, with the queue made again it may be another matter.
            late = time.monotonic() >= stale_until(begun, budget)
            if late or self._closed or "Blocked" in _kinds(error):
                raise
            return False
        return True

    def _publish(self, publisher: Publisher, bodies: Sequence[bytes], give_up_at: float) -> None:
        try:
            publisher.publish(bodies, _left(give_up_at))
        except BaseException:
            publisher.close()  # who knows what it will say next
            raise
        if self._closed or self.deadline is not None:
            publisher.close()
        else:
            self._idle.append(_Kept(publisher, time.monotonic()))

    def _unavailable(self, error: Exception) -> Unavailable:
        """Say what a driver's error means."""
        first = error.__cause__ or error  # kombu's own error says less
        told = self._hide(f"{type(first).__name__}: {first}")[:500]
        remedies = (_REMEDIES[kind] for kind in _kinds(error) if kind in _REMEDIES)
        return Unavailable(told, next(remedies, ""))


class _Kept(NamedTuple):
    """A connection, and since when it is idle."""

    publisher: Publisher
    since: float


def _kinds(error: BaseException) -> Iterator[str]:
    """Name the classes of an error, and of those that it was raised from or after."""
    for each in _chain(error):
        yield from (kind.__name__ for kind in type(each).__mro__)


def _is_too_large(error: BaseException) -> bool:
    return any(words in str(each).lower() for each in _chain(error) for words in _TOO_LARGE)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _left(give_up_at: float) -> float:
    return max(give_up_at - time.monotonic(), 0.01)
