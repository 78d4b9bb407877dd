"""The outbox of a relay as a state machine, beside a model of the broker.

The broker keeps a message until it is acknowledged, and hands it out again when the connection
is lost. An event is delivered, a dead letter, or in a message that the broker still has.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from datalyr_core.outbox.base import Entry
from datalyr_core.outbox.broker import BrokerOutbox, Held
from tests.outbox.protocol import SETTINGS


class Message:
    """Be a message, and what is known of its events since it was handed out the last time."""

    def __init__(self, bodies: list[bytes]) -> None:
        self.bodies = bodies
        self.waiting: list[bytes] = []
        self.leased: list[bytes] = []
        self.refused: list[bytes] = []

    @property
    def is_through(self) -> bool:
        return not (self.waiting or self.leased)


class BrokerProtocol(RuleBasedStateMachine):
    """Do what a broker, the consumer, the senders and the end do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = BrokerOutbox()
        self.count = 0
        self.published: set[bytes] = set()
        self.queue: list[Message] = []  # the broker's
        self.held: list[Message] = []  # handed out, and not acknowledged
        self.delivered: set[bytes] = set()
        self.dead: set[bytes] = set()
        self.leases: list[tuple[Entry, Message | None]] = []  # None: its message is forgotten
        self.closed = False

    # The broker and the consumer

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        bodies = [b'{"n":%d}' % (self.count + number) for number in range(count)]
        self.count += count
        self.published.update(bodies)
        self.queue.append(Message(bodies))

    @precondition(lambda self: self.queue)
    @rule()
    def hand_out(self) -> None:
        message = self.queue.pop(0)
        message.waiting = [each for each in message.bodies if each not in self.delivered]
        message.leased, message.refused = [], []
        self.held.append(message)
        self.outbox.take(message, message.bodies)

    @rule()
    def acknowledge(self) -> None:
        """Acknowledge what is through, with its dead letters published before."""
        there = [each for each in self.held if each.is_through]
        while (held := self.outbox.through()) is not None:
            assert held.message in there, "acknowledged before it is through, or twice"
            there.remove(held.message)
            assert not held.left
            assert sorted(each.body for each in held.refused) == sorted(held.message.refused)
            self.dead.update(held.message.refused)
            self.held.remove(held.message)
        assert not there, "through, and nobody is told"

    @rule()
    def lose_the_connection(self) -> None:
        self.outbox.forget()
        self.queue = self.held + self.queue
        self.held = []
        self.leases = [(entry, None) for entry, _ in self.leases]

    @rule()
    def put_back_what_takes_too_long(self) -> None:
        """Let go of whatever is not on its way, as if its time were up."""
        kept = {id(each) for each in self.held if each.is_through or each.leased}
        self.let_go(self.outbox.overdue(0.0), but=kept)

    def let_go(self, messages: list[Held], but: set[int]) -> None:
        gone = [each.message for each in messages]
        assert len(gone) == len(set(map(id, gone)))
        # Half as much time again is nothing here: one with events on their way may go as well.
        assert {id(each) for each in self.held} - but <= set(map(id, gone))
        for held in messages:
            message: Message = held.message
            left = [*message.waiting, *message.leased]
            assert sorted(held.bodies) == sorted(left)
            self.dead.update(message.refused)
            self.queue.append(Message(left))
            self.held.remove(message)
            self.leases = [(entry, None if of is message else of) for entry, of in self.leases]

    # The senders

    @rule(patient=st.booleans())
    def lease(self, patient: bool) -> None:
        entry: Any = self.outbox.lease(patient=patient)
        if entry is None:
            assert self.closed or not any(each.waiting for each in self.held)
            return
        message = entry.held.message
        assert message in self.held, "of a message that is forgotten"
        assert not self.closed, "handed out after the end"
        assert entry.body in message.waiting, "handed out twice, or delivered before"
        message.waiting.remove(entry.body)
        message.leased.append(entry.body)
        self.leases.append((entry, message))

    def answered(self, data: st.DataObject) -> tuple[Entry, Message | None]:
        at = data.draw(st.integers(0, len(self.leases) - 1))
        entry, message = self.leases.pop(at)
        if message is not None:
            message.leased.remove(entry.body)
        return entry, message

    @precondition(lambda self: any(each.waiting for each in self.held) and not self.leases)
    @rule(count=st.integers(1, 4), data=st.data())
    def lose_the_connection_with_some_delivered(self, count: int, data: st.DataObject) -> None:
        """Come to what the rules above come to seldom."""
        for _ in range(count):
            self.lease(patient=False)
            if self.leases:
                self.settle(data)
        self.lose_the_connection()
        self.hand_out()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        entry, message = self.answered(data)
        self.delivered.add(entry.body)
        assert self.outbox.settle(entry) is (message is not None)
        assert not self.outbox.settle(entry)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        entry, message = self.answered(data)
        assert self.outbox.refuse(entry, 400, "bad") is (message is not None)
        if message is not None:
            message.refused.append(entry.body)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), failures=st.integers(0, 4))
    def give_back(self, data: st.DataObject, failures: int) -> None:
        entry, message = self.answered(data)
        entry.failed_flushes += failures
        assert self.outbox.give_back(entry) is (message is not None)
        if message is not None:
            message.waiting.append(entry.body)

    @precondition(lambda self: len(self.leases) > 1 and self.count > 6)
    @rule()
    def close(self) -> None:
        self.outbox.close()
        self.closed = True

    # What always holds

    @invariant()
    def nothing_is_lost(self) -> None:
        there = {body for each in (*self.queue, *self.held) for body in each.bodies}
        assert self.published == self.delivered | self.dead | there

    @invariant()
    def counts(self) -> None:
        outbox = self.outbox
        leased = sum(message is not None for _, message in self.leases)
        waiting = 0 if self.closed else sum(len(each.waiting) for each in self.held)
        assert outbox.messages == len(self.held)
        assert outbox.waiting == waiting
        assert len(outbox) == outbox.held == waiting + leased
        for entry, message in self.leases:
            assert outbox.holds(entry) is (message is not None)

    def teardown(self) -> None:
        """End: what is through is acknowledged, and everything else goes back."""
        self.acknowledge()
        self.outbox.close()
        self.closed = True
        self.let_go(self.outbox.release(), but=set())
        assert self.held == []
        assert self.outbox.messages == len(self.outbox) == 0
        self.nothing_is_lost()


TestBroker = BrokerProtocol.TestCase
TestBroker.settings = settings(SETTINGS, max_examples=400)
