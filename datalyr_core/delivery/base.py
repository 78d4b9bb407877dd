"""The seam between the sender and whatever carries an event away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from datalyr_core.errors import TransportError, shown


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold what the ingest answered.

    Attributes:
        status: The HTTP status.
        headers: The headers; names in any case.
        text: The beginning of the body, for messages.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


class Batch(NamedTuple):
    """Say what a transport takes in one go.

    Attributes:
        events: How many events at most.
        size: How many bytes at most, all bodies together, unless one event alone is larger.
    """

    events: int
    size: int


ONE = Batch(events=1, size=0)

STALE = 0.3  # seconds within which a peer that has closed a connection says so: a round trip


def stale_until(begun: float, budget: float) -> float:
    """Return until when a kept connection that breaks off was closed before the send began.

    What breaks off later has been under way; and a try with little time left may be taken and
    its answer missed.

    Args:
        begun: When the send began, on the monotonic clock.
        budget: Seconds that it may take.
    """
    return begun + min(STALE, budget / 4)


class Between:
    """Stand before a transport that has deadlines, to see what goes through."""

    def __init__(self, transport: Any) -> None:
        """Stand before a transport."""
        self._transport = transport

    @property
    def deadline(self) -> float | None:
        """Return by when answers to this thread must be there; see `HttpTransport`."""
        deadline: float | None = self._transport.deadline
        return deadline

    @deadline.setter
    def deadline(self, deadline: float | None) -> None:
        self._transport.deadline = deadline


class Transport(Protocol):
    """Send one event. Called from several threads at once."""

    def send(self, body: bytes) -> Reply:
        """Send one body and return the answer.

        Raises:
            TransportError: No answer came.
        """


class BatchTransport(Protocol):
    """Send several events in one go. One thread of a client does so at a time."""

    batch: Batch

    def send_many(self, bodies: Sequence[bytes]) -> Reply:
        """Send all of some bodies, or none, and return the answer to all.

        Raises:
            TransportError: No answer came.
        """

    def rest(self) -> None:
        """Let go of what is not needed while nothing is sent; called now and then."""


class Outlet(NamedTuple):
    """A transport of either kind, as one that takes several events.

    Attributes:
        batch: What it takes in one go.
        send: Sends some bodies.
        rest: Is to be called now and then while nothing is sent, if there is such a function.
    """

    batch: Batch
    send: Callable[[Sequence[bytes]], Any]
    rest: Callable[[], None] | None = None


def outlet_of(transport: Any) -> Outlet:
    """Look at either kind of transport as one that takes several events."""
    batch = getattr(transport, "batch", None)
    if isinstance(batch, Batch):
        return Outlet(batch, transport.send_many, transport.rest)
    return Outlet(ONE, lambda bodies: transport.send(bodies[0]))


def checked(answer: Any) -> Reply | TransportError:
    """Return a transport's answer with every part of its type, or an error that says why not."""
    if isinstance(answer, TransportError):
        return answer
    if type(answer) is not Reply:
        return TransportError(f"the transport returned {shown(answer)}, not a Reply")
    status, headers, text = answer.status, answer.headers, answer.text
    whole = type(status) is int, isinstance(headers, Mapping), isinstance(text, str)
    if all(whole):
        return answer
    try:
        return Reply(int(status), dict(headers or {}), str(text or ""))
    except (TypeError, ValueError) as error:
        return TransportError(f"the transport's Reply is none: {error}")
