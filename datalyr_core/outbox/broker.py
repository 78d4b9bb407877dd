"""The outbox of a relay: events of messages that a broker has handed out.

The broker keeps a message until it is acknowledged, which one thread alone may do. This outbox
tells that thread which messages are through, and which are held so long that they are better
put back. It knows no broker, and nothing in it is ever given up.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NoReturn

from datalyr_core.outbox.base import Entry, Ephemeral, is_owned
from datalyr_core.outbox.memory import MemoryOutbox

REMEMBERED = 20_000  # delivered events that are known when a broker hands them out again


@dataclass(frozen=True, slots=True)
class Refusal:
    """Hold an event that the ingest will never take.

    Attributes:
        body: The event's body.
        status: The HTTP status of the answer; None if it was not even sent.
        reason: What the ingest said.
        at: When, in epoch seconds.
    """

    body: bytes
    status: int | None
    reason: str
    at: float


class Held:
    """Hold a message, and what became of its events.

    Attributes:
        message: The broker's own message; nothing here looks into it.
        since: When it came, on the monotonic clock.
        left: The events that are neither delivered nor refused, in order.
        refused: Those that the ingest will never take.
        touched: Whether an event of it is through, so that it must not go back whole.
    """

    __slots__ = ("left", "message", "refused", "since", "touched")

    def __init__(self, message: Any) -> None:
        """Begin without events."""
        self.message = message
        self.since = time.monotonic()
        self.left: dict[Entry, None] = {}
        self.refused: list[Refusal] = []
        self.touched = False

    @property
    def bodies(self) -> list[bytes]:
        """Return the bodies of the events that are left."""
        return [entry.body for entry in self.left]


class HeldEntry(Entry):
    """Be an event of a message."""

    __slots__ = ("held",)

    def __init__(self, body: bytes, held: Held) -> None:
        """Begin with nothing tried."""
        super().__init__(body)
        self.held = held


class BrokerOutbox(Ephemeral):
    """Keep events in memory, and know of which message each of them is."""

    patient = True
    limit = sys.maxsize  # how many messages are handed out is the broker's to bound

    def __init__(self) -> None:
        """Begin empty."""
        self._memory = MemoryOutbox(self.limit)
        self._lock = threading.RLock()
        self._held: dict[Held, None] = {}
        self._through = deque[Held]()
        self._delivered = _Memory(REMEMBERED)
        self._closing = False
        self.known = 0  # events that came again and were delivered before

    # For the thread that has the connection

    def take(self, message: Any, bodies: Sequence[bytes]) -> None:
        """Take a message in, but for events that were delivered when they came before.

        Args:
            message: The broker's own.
            bodies: Its events.
        """
        held = Held(message)
        with self._lock:
            for body in bodies:
                if body in self._delivered:
                    self.known += 1
                    held.touched = True
                else:
                    held.left[HeldEntry(body, held)] = None
            if not held.left:
                self._through.append(held)
                return
            self._held[held] = None
            if not self._closing:
                for entry in held.left:
                    self._memory.add(entry)

    def through(self) -> Held | None:
        """Return a message of which no event is left, each but once; None if there is none."""
        with self._lock:
            return self._through.popleft() if self._through else None

    def overdue(self, seconds: float) -> list[Held]:
        """Let go of messages that are held too long, and return them.

        Those with an event under way are given half as much time again: it may be delivered.

        Args:
            seconds: How long is too long.
        """
        now = time.monotonic()
        with self._lock:
            late = [
                held
                for held in self._held
                if now - held.since > seconds * 1.5
                or (now - held.since > seconds and not any(map(self._memory.holds, held.left)))
            ]
            self._let_go(late)
        return late

    def release(self) -> list[Held]:
        """Let go of every message of which events are left, and return them."""
        with self._lock:
            held = list(self._held)
            self._let_go(held)
        return held

    def forget(self) -> None:
        """Forget every message: the connection is lost, and the broker hands them out again."""
        with self._lock:
            self.release()
            self._through.clear()

    def close(self) -> None:
        """Have nothing sent any more but what is on its way."""
        with self._lock:
            self._closing = True
            # One that fails is withdrawn where it is given back.
            self._memory.withdraw(
                {each for held in self._held for each in held.left if not self.holds(each)}
            )

    @property
    def messages(self) -> int:
        """Return how many messages are held."""
        return len(self._held) + len(self._through)

    def _let_go(self, messages: Sequence[Held]) -> None:
        self._memory.withdraw({entry for held in messages for entry in held.left})
        for held in messages:
            del self._held[held]

    # For the sender

    @property
    def accepted(self) -> int:
        """Return how many events were ever taken in."""
        return self._memory.accepted

    @property
    def waiting(self) -> int:
        """Return how many events are waiting, without those that are leased."""
        return self._memory.waiting

    @property
    def oldest(self) -> int | None:
        """Return the number of the oldest event, waiting or leased; None if there is none."""
        return self._memory.oldest

    def __len__(self) -> int:
        """Return how many events there are, waiting or leased."""
        return len(self._memory)

    @property
    def is_locked_here(self) -> bool:
        """Tell whether this very thread is in the middle of something."""
        return is_owned(self._lock) or self._memory.is_locked_here

    @property
    def held(self) -> int:
        """Return how many events there are, waiting or leased."""
        return len(self._memory)

    def put(self, body: bytes) -> NoReturn:
        """Refuse an event: they come out of messages alone.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("a relay's events come from the broker")

    def lease(self, *, patient: bool, unless: Collection[int] = ()) -> Entry | None:
        """Hand out the oldest waiting event; None if there is none."""
        return self._memory.lease(patient=patient, unless=unless)

    def give_back(self, entry: Entry) -> bool:
        """Take a leased event back to its old place; False if it is no longer leased."""
        with self._lock:
            if self._closing:
                return self._memory.settle(entry)  # it stays with its message
            return self._memory.give_back(entry)

    def settle(self, entry: Entry) -> bool:
        """Note that an event is delivered; False if it is no longer leased."""
        with self._lock:
            self._delivered.add(entry.body)  # also of a message that is forgotten: it comes again
            return self._settled(entry, None)

    def refuse(self, entry: Entry, status: int | None, why: str) -> bool:
        """Note that the ingest will never take an event; False if it is no longer leased."""
        return self._settled(entry, Refusal(entry.body, status, why, time.time()))

    def _settled(self, entry: Entry, refusal: Refusal | None) -> bool:
        with self._lock:
            if not (self._memory.settle(entry) and isinstance(entry, HeldEntry)):
                return False
            held = entry.held
            del held.left[entry]
            held.touched = True
            if refusal:
                held.refused.append(refusal)
            if not held.left:
                del self._held[held]
                self._through.append(held)
            return True

    def holds(self, entry: Entry) -> bool:
        """Tell whether an event is still leased."""
        return self._memory.holds(entry)

    def abandon(self) -> list[Entry]:
        """Have nothing sent any more. Nothing is given up: the broker has it still."""
        with self._lock:
            self._closing = True
            self._memory.abandon()
        return []


class _Memory:
    """Remember the last of some bodies: as many as it should, and up to half as many more.

    Sets that take turns need half of what a dictionary in order does.
    """

    def __init__(self, least: int) -> None:
        self._half = (least + 1) // 2
        self._generations: deque[set[bytes]] = deque([set()], maxlen=3)

    def add(self, body: bytes) -> None:
        newest = self._generations[-1]
        newest.add(_digest(body))
        if len(newest) >= self._half:
            self._generations.append(set())

    def __contains__(self, body: bytes) -> bool:
        digest = _digest(body)
        return any(digest in each for each in self._generations)


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()
