"""A client with a durable outbox."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from datalyr_core import Config, ConfigurationError, Datalyr, lifecycle, options
from datalyr_core.delivery.base import Reply
from datalyr_core.dispatcher import MAX_FAILED_FLUSHES
from datalyr_core.errors import Unavailable
from datalyr_core.outbox import store
from datalyr_core.outbox.choice import sink_of
from datalyr_core.outbox.reading import read_status
from tests.conftest import MakeClient
from tests.support.ingest import DOWN, OK, SILENCE, Answer, IngestServer, Received
from tests.support.waiting import eventually

SOON = 30.0  # seconds


def left_behind(make_client: MakeClient, ingest: IngestServer, url: str, count: int) -> None:
    """Have a client that ends while the ingest is down."""
    ingest.answer = DOWN
    client = make_client(outbox=url)
    for number in range(count):
        client.track("user_1", f"Left {number}")
    assert not client.close(timeout=0)
    assert eventually(lambda: not client._outbox._ending, SOON)  # nothing of it is on its way
    ingest.answer = OK


def test_events_are_delivered_in_order_and_nothing_is_left(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    client = make_client(outbox=url, concurrency=1)
    ids = [client.track("user_1", f"Event {number}") for number in range(300)]
    assert client.flush(SOON)
    assert [body["eventId"] for body in ingest.accepted] == ids
    assert (client.stats.delivered, client.stats.waiting) == (300, 0)
    assert read_status(path).events == 0
    assert client.close()


def test_what_was_delivered_leaves_the_file_while_more_goes_out(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    """A process that is killed leaves few behind that are then sent again."""
    tracked, go_on = threading.Event(), threading.Event()

    def answer(request: Received) -> Answer:
        assert tracked.wait(SOON)
        assert len(ingest.accepted) < 100 or go_on.wait(SOON)
        return OK

    ingest.answer = answer
    client = make_client(outbox=url, concurrency=1, timeout=60)
    for number in range(300):
        client.track("user_1", f"Event {number}")
    tracked.set()
    assert eventually(lambda: len(ingest.accepted) == 100 and ingest.in_flight == 1, SOON)
    assert read_status(path).events <= 200 + 8
    go_on.set()
    assert client.flush(SOON)


def test_close_leaves_what_the_ingest_did_not_take(
    make_client: MakeClient,
    ingest: IngestServer,
    url: str,
    path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ingest.answer = DOWN
    dropped: list[object] = []
    client = make_client(outbox=url, on_drop=lambda *told: dropped.append(told))
    for number in range(3):
        client.track("user_1", f"Event {number}")
    assert not client.close(timeout=0.2)
    assert not client.close()  # at once, and it says the same
    assert not client.flush()
    assert dropped == []
    assert (client.stats.waiting, client.stats.dropped) == (3, {})
    told = [line for line in caplog.messages if "stay in the outbox" in line]
    assert told == [
        "close() came to its time-out; 3 stay in the outbox, for the next process to deliver"
    ]
    assert eventually(lambda: not any(own.alive for own in read_status(path).owners), SOON)
    assert read_status(path).events == 3


def test_the_first_event_of_another_brings_what_was_left(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    left_behind(make_client, ingest, url, 150)
    client = make_client(outbox=url)
    client.track("user_1", "First")
    assert eventually(lambda: len(set(ingest.names)) == 151, SOON)
    assert eventually(lambda: not read_status(path).events, SOON)
    stats = client.stats
    assert (stats.accepted, stats.taken_over, stats.delivered) == (1, 150, 151)


def test_an_idle_one_takes_over_what_another_leaves(
    make_client: MakeClient, ingest: IngestServer, url: str
) -> None:
    client = make_client(outbox=url, flush_interval=1)
    client.track("user_1", "First")
    assert client.flush(SOON)
    left_behind(make_client, ingest, url, 3)
    assert eventually(lambda: {"Left 0", "Left 1", "Left 2"} <= set(ingest.names), SOON)


def test_what_was_taken_over_does_not_wait_for_the_next_pass(
    make_client: MakeClient, ingest: IngestServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOOK_EVERY", 0.2)
    client = make_client(outbox=url, flush_interval=300)  # no pass is due within the test
    client.track("user_1", "First")
    assert client.flush(SOON)
    left_behind(make_client, ingest, url, 3)
    assert eventually(lambda: {"Left 0", "Left 1", "Left 2"} <= set(ingest.names), SOON)


def test_flush_waits_for_what_this_one_accepted(
    make_client: MakeClient, ingest: IngestServer, url: str
) -> None:
    left_behind(make_client, ingest, url, 50)

    going_on = threading.Event()

    def answer(request: Received) -> Answer:
        if request.body["event"] != "Mine":
            going_on.wait(2 * SOON)
        return OK

    ingest.answer = answer
    client = make_client(outbox=url, timeout=60)
    client.track("user_1", "Mine")
    assert client.flush(SOON)
    assert client.stats.waiting == 50
    assert not client.drain(timeout=0.1)
    going_on.set()
    assert client.drain(SOON)
    assert client.stats.waiting == 0


def test_drain_delivers_what_was_left_without_an_event(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    left_behind(make_client, ingest, url, 50)
    left_behind(make_client, ingest, url, 50)
    client = make_client(outbox=url)
    assert client.drain(timeout=SOON)
    # One whose request was cut off at the end may have come through all the same.
    assert len({body["eventId"] for body in ingest.accepted}) == 100
    assert read_status(path).events == 0
    assert client.drain()  # there is nothing more
    assert make_client().drain()  # and nobody leaves anything in memory


def test_an_event_after_the_end_stays_for_others(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    client = make_client(outbox=url)
    sender = client._sender
    assert client.close()
    assert sender.put(b'{"event":"Late"}')  # the caller's check came before the close
    assert client.stats.waiting == 1
    assert read_status(path).events == 1


def test_with_nothing_but_memory_what_is_left_is_lost(
    make_client: MakeClient, ingest: IngestServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.answer = DOWN
    client = make_client(outbox=f"sqlite://{tmp_path}/missing/outbox.db")
    client.track("user_1", "Event")
    assert not client.close(timeout=0.1)
    assert client.stats.dropped == {"close_timeout": 1}
    assert "1 are lost" in caplog.text


def test_a_retired_client_leaves_nothing_open(ingest: IngestServer, url: str, path: Path) -> None:
    client = Datalyr("dk_test", host=ingest.url, outbox=url)
    client.track("user_1", "Event")
    del client
    assert eventually(lambda: ingest.names == ["Event"], SOON)
    assert eventually(lambda: not path.with_name("outbox.db-owner-1").exists(), SOON)
    # Its sender is forgotten with its last thread.
    assert eventually(lambda: lifecycle.release_sigterm() or not lifecycle._finishable, SOON)
    lifecycle.release_sigterm()


def test_a_client_that_is_opened_again(
    make_client: MakeClient, ingest: IngestServer, url: str
) -> None:
    left_behind(make_client, ingest, url, 1)
    client = make_client(outbox=url)
    client.close()
    client.reopen()
    client.track("user_1", "Again")
    assert client.flush(SOON)
    assert eventually(lambda: sorted(ingest.names) == ["Again", "Left 0"], SOON)


def test_a_long_outage_drops_nothing(
    make_client: MakeClient, ingest: IngestServer, url: str
) -> None:
    ingest.answer = DOWN
    client = make_client(outbox=url, retry_limit=0, flush_interval=1)
    client.track("user_1", "Event")
    for _ in range(MAX_FAILED_FLUSHES + 2):
        assert not client.flush()
    assert client.stats.dropped == {}
    ingest.answer = OK
    assert client.flush(SOON)


def test_an_event_that_fails_while_others_get_through_is_dropped(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    ingest.answer = lambda request: DOWN if request.body["event"] == "Bad" else OK
    client = make_client(outbox=url, retry_limit=0, flush_interval=3600)
    client.track("user_1", "Bad")
    for number in range(MAX_FAILED_FLUSHES + 5):
        client.track("user_1", f"Good {number}")
        client.flush(SOON)
    assert client.stats.dropped == {"max_flush_attempts": 1}
    assert client.stats.delivered == MAX_FAILED_FLUSHES + 5
    assert eventually(lambda: not read_status(path).events, SOON)


def test_an_outage_in_which_nothing_could_be_sent_grants_no_event_more_failures(url: str) -> None:
    transport = _Moody()
    dropped: list[str] = []
    with Datalyr(
        "dk_test",
        outbox=url,
        transport=transport,
        retry_limit=0,
        on_drop=lambda events, reason: dropped.extend(each.event for each in events),
    ) as client:
        client.track("u", "bad")
        for _ in range(MAX_FAILED_FLUSHES):
            assert not client.flush(10)
        transport.there = True
        for _ in range(MAX_FAILED_FLUSHES):
            client.track("u", "good")
            client.flush(10)
        assert dropped == ["bad"]


class _Moody:
    """Be away at first, and fail at bad events later."""

    there = False

    def send(self, body: bytes) -> Reply:
        if not self.there:
            raise Unavailable("nobody is there")
        return Reply(503 if b'"bad"' in body else 200)


def test_the_bound_is_told(make_client: MakeClient, ingest: IngestServer, url: str) -> None:
    ingest.answer = SILENCE
    dropped: list[str] = []
    client = make_client(
        outbox=url,
        outbox_max_events=1000,
        max_queue_size=100,
        on_drop=lambda events, reason: dropped.extend((reason, each.event) for each in events),
    )
    for number in range(1010):
        client.track("user_1", f"Event {number}")
    assert len(dropped) == 10
    assert {reason for reason, _ in dropped} == {"queue_overflow"}
    assert client.stats.waiting == 1000


def test_backpressure_waits_for_room_in_the_file(
    make_client: MakeClient, ingest: IngestServer, url: str
) -> None:
    client = make_client(outbox=url, outbox_max_events=1000, max_queue_size=100)
    with client.backpressure():
        for number in range(1500):
            client.track("user_1", f"Event {number}")
    assert client.flush(SOON)
    assert (client.stats.delivered, client.stats.dropped) == (1500, {})


def test_what_another_key_accepted_is_left_alone(
    make_client: MakeClient, ingest: IngestServer, url: str
) -> None:
    left_behind(make_client, ingest, url, 3)
    other = make_client(api_key="dk_other", outbox=url)
    assert other.drain()
    assert ingest.accepted == []
    assert sink_of(other.config) != sink_of(make_client().config)
    assert make_client(outbox=url).drain(SOON)
    assert {request.headers["x-api-key"] for request in ingest.requests} == {"dk_test"}


def test_the_key_is_not_in_the_file(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    left_behind(make_client, ingest, url, 3)
    for part in path.parent.iterdir():
        assert b"dk_test" not in part.read_bytes()


def test_a_client_that_is_off_opens_nothing(url: str, path: Path) -> None:
    client = Datalyr(enabled=False, outbox=url)
    client.track("user_1", "Event")
    assert client.drain()
    assert client.close()
    assert not path.exists()


@pytest.mark.parametrize(
    "value",
    [
        *("sqlite", "sqlite://", "sqlite:///", "sqlite:///outbox.db", "sqlite://host/a/b"),
        *("sqlite:///a/b?mode=ro", "sqlite:///a/b#c", "sqlite:///a/%00", "postgres:///a/b"),
        *("", None, 5, "sqlite://[::1/a/b"),
    ],
)
def test_what_is_no_outbox(value: object) -> None:
    with pytest.raises(
        ConfigurationError, match=r"write 'memory' or 'sqlite:///path/to/outbox.db'"
    ):
        Config(api_key="dk_test", outbox=value)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/outbox.db", "/var/lib/outbox.db"),
        ("sqlite:////var/lib/outbox.db", "/var/lib/outbox.db"),
        ("sqlite:///var/lib/my%20shop.db", "/var/lib/my shop.db"),
    ],
)
def test_the_path_of_an_outbox(url: str, path: str) -> None:
    assert Config(api_key="dk_test", outbox=url).outbox == url
    assert options.outbox_path(url) == Path(path)


def test_the_options_come_from_the_environment(caplog: pytest.LogCaptureFixture) -> None:
    config = Config.from_env(
        {
            "DATALYR_API_KEY": "dk_test",
            "DATALYR_OUTBOX": "sqlite:///a/b.db",
            "DATALYR_OUTBOX_MAX_EVENTS": "5000",
            "DATALYR_OUTBOX_MAX_BYTES": "1000",
        }
    )
    assert (config.outbox_max_events, config.outbox_max_bytes) == (5000, 2**20)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
