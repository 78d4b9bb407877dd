"""What becomes of messages, on real brokers."""

from __future__ import annotations

import json
import threading

import pytest

from datalyr_core import dispatcher
from datalyr_core.broker import message as wire
from datalyr_core.broker.intake import Source
from tests.relay.conftest import MakeRelay
from tests.support.brokers import Broker
from tests.support.ingest import DOWN, OK, SILENCE, Answer, IngestServer, Received
from tests.support.rabbitmq import RabbitMQ
from tests.support.relays import dead_letters, event, publish, publish_raw
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # RabbitMQ takes its time to start
NAMES = [f"event {number}" for number in range(40)]


def test_every_event_of_every_message_is_delivered_once(
    source: Source, make_relay: MakeRelay, ingest: IngestServer
) -> None:
    publish(source, *NAMES, size=7)
    relay = make_relay()
    assert eventually(lambda: len(ingest.accepted) == len(NAMES), 30)
    assert sorted(ingest.names) == sorted(NAMES)
    assert eventually(lambda: relay.status()["held_messages"] == 0, 10)
    status = relay.status()
    assert (status["messages"], status["received"], status["delivered"]) == (6, 40, 40)
    assert ingest.requests[0].headers["x-api-key"] == "dk_test"
    assert ingest.requests[0].raw.startswith(b'{"event":"event ')


def test_a_message_is_acknowledged_only_when_all_of_it_is_delivered(
    source: Source,
    broker: Broker,
    make_relay: MakeRelay,
    ingest: IngestServer,
    request: pytest.FixtureRequest,
) -> None:
    last = threading.Event()

    def answer(received: Received) -> Answer:
        if received.body["event"] == "late":
            last.wait(60)
        return OK

    ingest.answer = answer
    publish(source, "early", "late", size=2)
    relay = make_relay(timeout=60)
    assert eventually(lambda: relay.status()["delivered"] == 1, 30)
    assert ingest.names == ["early"]
    assert unacknowledged(broker, request) == 1
    last.set()
    assert eventually(lambda: relay.status()["held_messages"] == 0, 30)
    assert unacknowledged(broker, request) == 0
    assert relay.status()["delivered"] == 2


def unacknowledged(broker: Broker, request: pytest.FixtureRequest) -> int:
    """Return how many messages of a queue the broker waits to hear of."""
    if broker.kind == "redis":
        from redis import Redis

        with Redis.from_url(broker.url) as client:
            return int(client.hlen(f"{broker.queue}.unacked"))
    server: RabbitMQ = request.getfixturevalue("rabbitmq")
    lines = server.control("list_queues", "name", "messages_unacknowledged").splitlines()
    return int(dict(line.split("\t") for line in lines)[broker.queue])


def test_what_the_ingest_refuses_becomes_a_dead_letter_with_status_and_reason(
    source: Source, make_relay: MakeRelay, ingest: IngestServer
) -> None:
    ingest.answer = lambda received: (
        Answer(422, body=b"no such thing") if received.body["event"] == "bad" else OK
    )
    publish(source, "good 1", "bad", "good 2", size=3)
    relay = make_relay()
    assert eventually(lambda: relay.status()["dead"] == 1, 30)
    assert sorted(ingest.names) == ["good 1", "good 2"]
    assert eventually(lambda: relay.status()["held_messages"] == 0, 10)
    ((body, headers),) = dead_letters(source)
    assert wire.unpack(body)[0].startswith(b'{"event":"bad"')
    assert headers["datalyr-status"] == 422
    assert headers["datalyr-reason"] == "HTTP 422 'no such thing'"
    assert headers["datalyr-time"].endswith("Z")
    assert wire.is_known(headers)
    assert headers["datalyr-events"] == 1


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b'{"format": "of tomorrow"}', {"datalyr-format": 99}, "its format is unknown"),
        (b"\x00\xff not JSON", wire.headers(1), "an event is no JSON"),
        (event("one of two"), wire.headers(2), "it holds 1 events"),
        (b'{"event":"Bare"}', wire.headers(1), "an event lacks what it needs"),
        (b"[]", wire.headers(1), "an event lacks what it needs"),
        (b"", wire.headers(0), "it holds 0 events"),
    ],
)
def test_what_cannot_be_read_becomes_a_dead_letter_as_it_is(
    source: Source,
    make_relay: MakeRelay,
    ingest: IngestServer,
    body: bytes,
    headers: dict[str, object],
    reason: str,
) -> None:
    publish_raw(source, [(body, headers)])
    publish(source, "behind it")
    relay = make_relay()
    assert eventually(lambda: relay.status()["dead"] == 1, 30)
    assert eventually(lambda: ingest.names == ["behind it"], 30)
    ((found, told),) = dead_letters(source)
    assert found == body
    assert told["datalyr-reason"].startswith(f"cannot be read: {reason}")
    assert "datalyr-status" not in told
    assert headers.items() <= told.items()


# An envelope of kombu's that cannot be opened.
CLOSED = """{"body": "abc", "headers": {}, "properties": {"body_encoding": "base64",
"delivery_tag": "tag", "delivery_info": {"exchange": "", "routing_key": "queue"}}}"""
# Others that are nearly one of kombu's.
NEARLY = [
    """{"body": {"a": 1}, "headers": {}, "properties": {"delivery_tag": "no text",
    "delivery_info": {"exchange": "", "routing_key": "queue"}}}""",
    """{"body": "abc", "headers": {}, "properties": {"delivery_tag": "no way",
    "delivery_info": {}}}""",
]


def test_a_value_in_redis_that_is_no_message_at_all_becomes_a_dead_letter(
    redis_url: str, make_relay: MakeRelay, ingest: IngestServer, tmp_path: object
) -> None:
    from redis import Redis

    source = Source(redis_url, f"test.{id(tmp_path)}")
    with Redis.from_url(redis_url) as client:
        client.lpush(source.queue, "no JSON", '{"json": 1}', '{"properties": {}}', CLOSED, *NEARLY)
    publish(source, "behind it")
    relay = make_relay(of=source, broker=redis_url)
    assert eventually(lambda: relay.status()["dead"] == 6, 30)
    assert eventually(lambda: ingest.names == ["behind it"], 30)
    bodies = {body.decode() for body, _ in dead_letters(source)}
    (closed,) = bodies - {"no JSON", '{"json": 1}', '{"properties": {}}', *NEARLY}
    assert json.loads(closed)["body"] == "abc"


def test_while_the_ingest_fails_one_probe_at_a_time_asks_whether_it_is_well(
    source: Source, make_relay: MakeRelay, ingest: IngestServer
) -> None:
    ingest.answer = DOWN
    publish(source, *NAMES, size=4)
    relay = make_relay()
    assert eventually(lambda: relay.status()["gate"] == "closed", 30)
    ingest.most_in_flight = 0
    asked = len(ingest.requests)
    assert eventually(lambda: len(ingest.requests) >= asked + 3, 60)
    assert ingest.most_in_flight == 1
    assert relay.problems() == ["the ingest fails: HTTP 503"]
    ingest.answer = OK
    assert eventually(lambda: sorted(ingest.names) == sorted(NAMES), 60)
    assert eventually(lambda: not relay.problems(), 10)
    assert relay.status()["dead"] == 0
    assert dead_letters(source) == []


def test_no_event_is_given_up_however_often_the_ingest_fails_at_it(
    source: Source,
    make_relay: MakeRelay,
    ingest: IngestServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "MAX_FAILED_FLUSHES", 1)
    ingest.answer = DOWN
    publish(source, "stubborn")
    relay = make_relay(retry_limit=0)
    assert eventually(lambda: len(ingest.requests) >= 3, 60)
    assert relay.status()["held_messages"] == 1
    ingest.answer = OK
    assert eventually(lambda: ingest.names == ["stubborn"], 60)
    assert relay.status()["dead"] == 0


def test_two_relays_share_the_work(
    source: Source, make_relay: MakeRelay, ingest: IngestServer
) -> None:
    ingest.answer = Answer(delay=0.02)
    relays = [make_relay(of=Source(source.url, source.queue, prefetch=2)) for _ in range(2)]
    assert eventually(lambda: all(relay.status()["connected"] for relay in relays), 30)
    publish(source, *NAMES)
    assert eventually(lambda: len(ingest.accepted) >= len(NAMES), 60)
    assert sorted(ingest.names) == sorted(NAMES)
    assert all(relay.status()["delivered"] for relay in relays)


def test_no_more_messages_are_held_than_the_prefetch_says(
    source: Source, make_relay: MakeRelay, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    publish(source, *NAMES)
    relay = make_relay(of=Source(source.url, source.queue, prefetch=3), close_timeout=1, timeout=60)
    assert eventually(lambda: len(ingest.requests) == 3, 30)
    assert relay.status()["held_messages"] == 3
    relay.stop()
    assert len(ingest.requests) == 3


def test_what_is_held_too_long_goes_to_the_end_of_the_queue(
    source: Source, make_relay: MakeRelay, ingest: IngestServer
) -> None:
    ingest.answer = lambda received: DOWN if received.body["event"] == "bad" else OK
    publish(source, "bad", "good", size=2)
    relay = make_relay(visibility_timeout=2.0, retry_limit=0)
    assert eventually(lambda: relay.status()["returned"] >= 1, 30)
    ingest.answer = OK
    assert eventually(lambda: sorted(ingest.names) == ["bad", "good"], 30)
    assert eventually(lambda: relay.status()["held_messages"] == 0, 10)
    assert ingest.names.count("good") == 1
