"""The outbox of a relay, without a broker."""

from __future__ import annotations

import pytest

from datalyr_core.outbox import broker
from datalyr_core.outbox.base import Entry
from datalyr_core.outbox.broker import BrokerOutbox


def lease(outbox: BrokerOutbox) -> Entry:
    entry = outbox.lease(patient=False)
    assert entry is not None
    return entry


def test_a_message_is_through_when_each_of_its_events_is() -> None:
    outbox = BrokerOutbox()
    outbox.take("message", [b"a", b"b", b"c"])
    assert (len(outbox), outbox.accepted, outbox.waiting, outbox.messages) == (3, 3, 3, 1)
    a, b, c = (lease(outbox) for _ in range(3))
    assert (outbox.held, outbox.waiting) == (3, 0)
    assert outbox.oldest == a.number
    assert outbox.settle(b)
    assert outbox.refuse(a, 400, "bad")
    assert outbox.through() is None
    assert outbox.give_back(c)
    assert outbox.settle(lease(outbox))
    held = outbox.through()
    assert held is not None
    assert held.message == "message"
    assert [(each.body, each.status, each.reason) for each in held.refused] == [(b"a", 400, "bad")]
    assert outbox.through() is None
    assert (len(outbox), outbox.messages, outbox.oldest) == (0, 0, None)


def test_what_was_delivered_is_not_handed_out_again() -> None:
    outbox = BrokerOutbox()
    outbox.take("first", [b"a", b"b"])
    assert outbox.settle(lease(outbox))
    outbox.forget()  # the connection is lost
    outbox.take("again", [b"a", b"b"])
    assert (len(outbox), outbox.known) == (1, 1)
    assert outbox.settle(lease(outbox))
    held = outbox.through()
    assert held is not None
    assert held.message == "again"
    outbox.take("once more", [b"a", b"b"])
    held = outbox.through()
    assert held is not None
    assert held.message == "once more"


def test_what_is_delivered_after_the_connection_was_lost_is_known_too() -> None:
    outbox = BrokerOutbox()
    outbox.take("first", [b"a", b"b"])
    a, b = lease(outbox), lease(outbox)
    outbox.forget()
    assert not outbox.settle(a)
    assert not outbox.refuse(b, 400, "bad")  # that will be heard again
    assert outbox.through() is None
    outbox.take("again", [b"a", b"b"])
    assert lease(outbox).body == b"b"


def test_a_message_that_is_through_when_the_connection_is_lost_is_not_acknowledged() -> None:
    outbox = BrokerOutbox()
    outbox.take("first", [b"a"])
    outbox.settle(lease(outbox))
    outbox.forget()
    assert outbox.through() is None


def test_only_so_many_delivered_events_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "REMEMBERED", 2)
    outbox = BrokerOutbox()
    outbox.take("first", [b"a", b"b", b"c"])
    for _ in range(3):
        outbox.settle(lease(outbox))
    outbox.take("again", [b"a", b"b", b"c"])
    assert [lease(outbox).body, outbox.known] == [b"a", 2]


def test_what_is_held_too_long_is_let_go_unless_it_is_on_its_way() -> None:
    outbox = BrokerOutbox()
    outbox.take("idle", [b"a"])
    outbox.take("busy", [b"b", b"c"])
    a, b = lease(outbox), lease(outbox)
    outbox.give_back(a)
    _age(outbox, 1.2)
    assert outbox.overdue(2) == []
    (idle,) = outbox.overdue(1)
    assert (idle.message, idle.bodies) == ("idle", [b"a"])
    _age(outbox, 0.4)
    (busy,) = outbox.overdue(1)
    assert (busy.message, busy.bodies) == ("busy", [b"b", b"c"])
    assert not outbox.give_back(b)
    assert len(outbox) == 0


def _age(outbox: BrokerOutbox, seconds: float) -> None:
    for held in outbox._held:
        held.since -= seconds


def test_at_the_end_only_what_is_on_its_way_is_finished() -> None:
    outbox = BrokerOutbox()
    outbox.take("message", [b"a", b"b", b"c"])
    a, b = lease(outbox), lease(outbox)
    outbox.close()
    assert (len(outbox), outbox.waiting) == (2, 0)
    assert outbox.settle(a)
    assert outbox.give_back(b)  # it failed: nobody tries it again
    assert len(outbox) == 0
    outbox.take("late", [b"d"])
    assert len(outbox) == 0
    assert [(held.message, held.bodies) for held in outbox.release()] == [
        ("message", [b"b", b"c"]),
        ("late", [b"d"]),
    ]


def test_nothing_is_given_up() -> None:
    outbox = BrokerOutbox()
    outbox.take("message", [b"a", b"b"])
    a = lease(outbox)
    assert outbox.abandon() == []
    assert not outbox.holds(a)
    assert [held.bodies for held in outbox.release()] == [[b"a", b"b"]]


def test_events_come_out_of_messages_alone() -> None:
    with pytest.raises(NotImplementedError):
        BrokerOutbox().put(b"a")


def test_it_tells_the_thread_that_is_in_the_middle_of_something() -> None:
    outbox = BrokerOutbox()
    assert not outbox.is_locked_here
    with outbox._lock:
        assert outbox.is_locked_here
