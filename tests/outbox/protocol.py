"""The protocol of an outbox as a state machine, beside a model that a person can check.

A subclass tells how one outbox is made. The model knows each event by its body: it is waiting,
leased, or gone, and gone for one reason.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from datalyr_core.outbox.base import Entry, Outbox
from datalyr_core.outbox.memory import PATIENCE

LIMIT = 6
SETTINGS = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class Was(Enum):
    """Say what became of an event."""

    WAITING = "waiting"
    LEASED = "leased"
    SETTLED = "settled"
    EVICTED = "evicted"
    ABANDONED = "abandoned"


class Known:
    """Hold what the model knows of an event."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = Was.WAITING
        self.failed = 0
        self.entry: Any = None  # while it is leased, and after


class Protocol(RuleBasedStateMachine):
    """Do what a client, its senders and its end do, in any order."""

    outbox: Outbox
    abandons = True  # whether what is abandoned is lost, and returned

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[bytes, Known] = {}
        self.outbox = self.make()

    def make(self) -> Outbox:
        raise NotImplementedError

    # What the model says

    def of(self, *states: Was) -> list[Known]:
        return [each for each in self.known.values() if each.state in states]

    def body_of(self, known: Known) -> bytes:
        return next(body for body, each in self.known.items() if each is known)

    def candidate(self, unless: set[int], *, patient: bool) -> Known | None:
        """Return the event that a lease has to hand out."""
        ready = [each for each in self.of(Was.WAITING) if each.number not in unless]
        if patient:
            return min(ready, key=lambda each: (each.failed // PATIENCE, each.number), default=None)
        return min(ready, key=lambda each: each.number, default=None)

    def has_leased(self) -> bool:
        return bool(self.of(Was.LEASED))

    def has_stale(self) -> bool:
        return any(each.entry is not None for each in self.gone())

    def gone(self) -> list[Known]:
        return self.of(Was.SETTLED, Was.EVICTED, Was.ABANDONED)

    # What happens

    def put_in(self, body: bytes) -> list[bytes]:
        """Put an event in, and return what made room for it."""
        return [each.body for each in self.outbox.put(body)]

    def overflow(self) -> list[Known]:
        """Take away what has to make room: the oldest that wait."""
        evicted = []
        while len(self.of(Was.WAITING, Was.LEASED)) > LIMIT:
            oldest = min(self.of(Was.WAITING), key=lambda each: each.number)
            oldest.state = Was.EVICTED
            evicted.append(oldest)
        return evicted

    @rule()
    def put(self) -> None:
        number = len(self.known) + 1
        body = b'{"n":%d}' % number
        self.known[body] = Known(number)
        expected = [self.body_of(each) for each in self.overflow()]
        assert self.put_in(body) == expected

    @rule(patient=st.booleans(), passed_over=st.integers(0, 3))
    def lease(self, patient: bool, passed_over: int) -> None:
        waiting = sorted(each.number for each in self.of(Was.WAITING))
        unless = set(waiting[:passed_over])
        expected = self.candidate(unless, patient=patient)
        entry = self.outbox.lease(patient=patient, unless=unless)
        if expected is None:
            assert entry is None, f"{entry.body!r} is handed out, and nothing is to be"
            return
        assert entry is not None, f"nothing is handed out, and {expected.number} waits"
        assert self.known.get(entry.body) is expected, entry.body
        self.numbered(entry, expected)
        expected.state, expected.entry = Was.LEASED, entry

    def numbered(self, entry: Entry, known: Known) -> None:
        assert entry.number == known.number

    @precondition(has_leased)
    @rule(data=st.data(), failures=st.integers(0, 4))
    def give_back(self, data: st.DataObject, failures: int) -> None:
        known = data.draw(st.sampled_from(self.of(Was.LEASED)))
        known.failed += failures
        known.entry.failed_flushes = known.failed
        known.state = Was.WAITING
        assert self.outbox.give_back(known.entry)
        assert not self.outbox.holds(known.entry)
        assert not self.outbox.give_back(known.entry), "given back twice"
        assert not self.outbox.settle(known.entry), "settled while it waits"

    @precondition(has_leased)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        known = data.draw(st.sampled_from(self.of(Was.LEASED)))
        known.state = Was.SETTLED
        assert self.outbox.settle(known.entry)
        assert not self.outbox.settle(known.entry), "settled twice"

    @precondition(has_stale)
    @rule(data=st.data())
    def come_late(self, data: st.DataObject) -> None:
        """Settle or give back what is no longer leased: nothing happens."""
        stale = [each for each in self.gone() if each.entry is not None]
        known = data.draw(st.sampled_from(stale))
        assert not self.outbox.holds(known.entry)
        assert not self.outbox.settle(known.entry)
        assert not self.outbox.give_back(known.entry)

    @precondition(lambda self: self.abandons and len(self.known) > 2)
    @rule()
    def abandon(self) -> None:
        left = sorted(self.of(Was.WAITING, Was.LEASED), key=lambda each: each.number)
        for each in left:
            each.state = Was.ABANDONED
        assert [each.body for each in self.outbox.abandon()] == list(map(self.body_of, left))

    # What always holds

    @invariant()
    def counts(self) -> None:
        there = self.of(Was.WAITING, Was.LEASED)
        assert self.outbox.waiting == len(self.of(Was.WAITING))
        assert len(self.outbox) == len(there)
        assert self.outbox.oldest == min((each.number for each in there), default=None)
        assert self.outbox.accepted == len(self.known)

    @invariant()
    def bound(self) -> None:
        assert len(self.outbox) <= self.outbox.limit

    @invariant()
    def nothing_is_lost(self) -> None:
        """Account for every event that was accepted."""
        counts = Counter(each.state for each in self.known.values())
        gone = counts[Was.SETTLED] + counts[Was.EVICTED] + counts[Was.ABANDONED]
        leased = sum(self.outbox.holds(each.entry) for each in self.known.values() if each.entry)
        assert leased == counts[Was.LEASED]
        assert self.outbox.accepted == gone + self.outbox.waiting + leased

    def teardown(self) -> None:
        """Hand out what still waits: all of it, once, in order."""
        waiting = sorted(self.of(Was.WAITING), key=lambda each: each.number)
        told = []
        while (entry := self.outbox.lease(patient=False)) is not None:
            told.append(entry.body)
        assert told == list(map(self.body_of, waiting))
