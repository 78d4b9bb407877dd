"""A transport that takes several events in one go, and gives one answer to all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pytest

from datalyr_core import Datalyr, Reply
from datalyr_core.delivery.base import Batch
from datalyr_core.errors import SendRefused, TransportError, Unavailable
from tests.support.waiting import eventually


class Carrier:
    """Take what it is given, or do what the test wants."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.sent: list[list[str]] = []
        self.act: Callable[[], Any] = lambda: None

    def send(self, body: bytes) -> Reply:
        raise AssertionError("it is given several")

    def send_many(self, bodies: Sequence[bytes]) -> Reply:
        self.sent.append([orjson.loads(body)["event"] for body in bodies])
        answer = self.act()
        return answer if isinstance(answer, Reply) else Reply(200)

    def rest(self) -> None:
        """Have nothing to let go of."""


@pytest.fixture
def carrier() -> Carrier:
    return Carrier(Batch(events=10, size=10_000))


@pytest.fixture
def client(carrier: Carrier) -> Iterator[Datalyr]:
    with Datalyr(
        "dk_test", transport=carrier, flush_at=5, flush_interval=3600, retry_limit=0
    ) as client:
        yield client
        client.close(timeout=0)


def track(client: Datalyr, *names: str, **properties: object) -> None:
    for name in names:
        assert client.track("u", name, properties)


def failing(error: Exception) -> Callable[[], Any]:
    def act() -> None:
        raise error

    return act


def test_as_many_as_it_takes(client: Datalyr, carrier: Carrier) -> None:
    go_on = threading.Event()
    carrier.act = lambda: go_on.wait(30)
    names = [f"E{number}" for number in range(30)]
    track(client, *names)
    assert eventually(lambda: carrier.sent, 30)
    go_on.set()
    assert client.flush()
    assert [name for sent in carrier.sent for name in sent] == names
    assert max(map(len, carrier.sent)) == 10
    assert client.stats.delivered == 30


def test_as_many_bytes_as_it_takes_and_one_that_is_larger(
    client: Datalyr, carrier: Carrier
) -> None:
    go_on = threading.Event()
    carrier.act = lambda: go_on.wait(30)
    track(client, "A", "B", "C", "D", "E")
    assert eventually(lambda: carrier.sent, 30)
    track(client, "1", "2", "3", text="x" * 4000)
    track(client, "long", text="x" * 20_000)
    track(client, "last")
    go_on.set()
    assert client.flush()
    assert carrier.sent[1:] == [["1", "2"], ["3"], ["long"], ["last"]]


def test_what_comes_meanwhile_waits_to_become_more(client: Datalyr, carrier: Carrier) -> None:
    sending, go_on = threading.Event(), threading.Event()

    def act() -> None:
        sending.set()
        go_on.wait(30)

    carrier.act = act
    track(client, "A", "B", "C", "D", "E")
    assert sending.wait(30)
    track(client, "late")
    go_on.set()
    assert eventually(lambda: client.stats.delivered == 5, 30)
    assert not eventually(lambda: len(carrier.sent) > 1, 0.3)
    track(client, "F", "G", "H", "I")
    assert eventually(lambda: client.stats.delivered == 10, 30)
    assert carrier.sent[1] == ["late", "F", "G", "H", "I"]


def test_a_process_that_ends_leaves_nothing_to_become_more(
    client: Datalyr, carrier: Carrier
) -> None:
    carrier.act = failing(Unavailable("gone"))
    track(client, *(f"E{number}" for number in range(12)))
    assert not client.flush()
    carrier.act = lambda: None
    client._sender.hurry()  # as for a SIGTERM that is held back
    assert eventually(lambda: client.stats.delivered == 12, 30)


def test_one_thread_sends_however_long_it_takes(client: Datalyr, carrier: Carrier) -> None:
    go_on = threading.Event()
    carrier.act = lambda: go_on.wait(30)
    track(client, *(f"E{number}" for number in range(25)))
    assert not eventually(lambda: len(carrier.sent) > 1, 0.3)
    go_on.set()
    assert client.flush()


def test_all_of_them_are_refused(carrier: Carrier) -> None:
    dropped: list[str] = []
    carrier.act = failing(SendRefused("never"))
    with Datalyr(
        "dk_test",
        transport=carrier,
        on_drop=lambda events, reason: dropped.extend(event.event for event in events),
    ) as client:
        track(client, "A", "B")
        assert not client.flush()
    assert dropped == ["A", "B"]
    assert client.stats.dropped == {"permanent_client_error": 2}


def test_all_of_them_fail_and_go_out_again_in_order(client: Datalyr, carrier: Carrier) -> None:
    carrier.act = failing(TransportError("no"))
    track(client, "A", "B", "C")
    assert not client.flush()
    carrier.act = lambda: None
    assert client.flush()
    assert carrier.sent[-1] == ["A", "B", "C"]
    assert client.stats.delivered == 3


def test_they_are_tried_again_together(carrier: Carrier) -> None:
    with Datalyr("dk_test", transport=carrier, flush_at=5, retry_limit=1) as client:
        answers = iter([Reply(503), Reply(200)])
        carrier.act = lambda: next(answers)
        track(client, "A", "B")
        assert client.flush(30)
        assert carrier.sent == [["A", "B"], ["A", "B"]]
        assert client.stats.retried == 1


def test_what_is_of_no_event_counts_against_none(client: Datalyr, carrier: Carrier) -> None:
    carrier.act = failing(Unavailable("gone"))
    track(client, "A", "B")
    for _ in range(12):
        assert not client.flush()
    assert client.stats.waiting == 2
    carrier.act = failing(TransportError("no"))
    for _ in range(12):
        client.flush()
    assert client.stats.dropped == {"max_flush_attempts": 2}


@pytest.mark.parametrize("error", [None, TransportError("no"), SendRefused("never")])
def test_those_in_flight_at_a_deadline_are_counted_once(
    error: Exception | None, client: Datalyr, carrier: Carrier
) -> None:
    sending, go_on = threading.Event(), threading.Event()

    def act() -> None:
        sending.set()
        go_on.wait(30)
        if error:
            raise error

    carrier.act = act
    track(client, "A", "B", "C", "D", "E")
    assert sending.wait(30)
    assert not client.close(timeout=0.1)
    go_on.set()
    assert client.stats.dropped == {"close_timeout": 5}
    assert not eventually(lambda: client.stats.delivered or len(client.stats.dropped) > 1, 0.2)
    assert client.stats.waiting == 0


def test_a_hook_that_flushes_while_some_are_reported(carrier: Carrier) -> None:
    carrier.act = failing(SendRefused("never"))
    seen: list[bool] = []
    client = Datalyr(
        "dk_test", transport=carrier, on_drop=lambda events, reason: seen.append(client.flush(5))
    )
    with client:
        track(client, "A", "B", "C")
        assert not client.flush(30)
        assert eventually(lambda: len(seen) == 3, 30)


# A thread that lets events come, for larger messages


@pytest.fixture
def napping(carrier: Carrier, monkeypatch: pytest.MonkeyPatch) -> Iterator[Datalyr]:
    """A client whose thread lets events come, for as long as it may."""
    monkeypatch.setattr("datalyr_core.dispatcher.NAP", 3600)
    with Datalyr(
        "dk_test", transport=carrier, flush_at=2, flush_interval=3000, max_queue_size=100
    ) as client:
        for delivered in (2, 4):  # the second two soon after the first
            track(client, "E", "E")
            assert eventually(lambda delivered=delivered: client.stats.delivered == delivered)
        assert eventually(lambda: client._sender._dispatcher._napping)
        yield client


def test_where_events_come_soon_after_each_other_the_thread_is_not_told_of_each(
    napping: Datalyr,
) -> None:
    track(napping, *["E"] * 8)
    assert not eventually(lambda: napping.stats.delivered > 4, 0.1)
    assert napping.flush(timeout=20)  # who waits for it does not wait longer
    assert napping.stats.delivered == 12


@pytest.mark.parametrize("end", ["close", "hurry"])
def test_the_end_wakes_a_thread_that_lets_events_come(end: str, napping: Datalyr) -> None:
    track(napping, *["E"] * 8)
    if end == "close":
        assert napping.close(timeout=20)
    else:
        napping._sender.hurry()  # as for a SIGTERM that is held back
    assert eventually(lambda: napping.stats.delivered == 12)


def test_it_is_told_long_before_there_is_no_more_room(napping: Datalyr) -> None:
    track(napping, *["E"] * 9)
    assert not eventually(lambda: napping.stats.delivered > 4, 0.1)
    track(napping, "E")
    assert eventually(lambda: napping.stats.delivered == 14)
    assert not napping.stats.dropped


@pytest.mark.parametrize(("flush_at", "batch"), [(1, 10), (2, None)])
def test_who_wants_events_at_once_has_them_so(
    flush_at: int, batch: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one event a message, there are no larger messages to be had."""
    monkeypatch.setattr("datalyr_core.dispatcher.NAP", 3600)
    carrier = Carrier(Batch(batch, 10_000)) if batch else Single()
    with Datalyr("dk_test", transport=carrier, flush_at=flush_at, flush_interval=3000) as client:
        for delivered in range(flush_at, 6 * flush_at, flush_at):
            track(client, *["E"] * flush_at)
            assert eventually(lambda delivered=delivered: client.stats.delivered == delivered)


class Single:
    """Take one event at a time."""

    def send(self, body: bytes) -> Reply:
        return Reply(200)
