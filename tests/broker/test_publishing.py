"""A web process and a broker that is well."""

from __future__ import annotations

import logging

import orjson
import pytest

from datalyr_core.broker import message
from tests.broker.conftest import Publishing
from tests.broker.taking import names_at, names_in, taken
from tests.support.brokers import Broker
from tests.support.waiting import eventually


def test_several_events_go_in_one_message_in_order(publishing: Publishing, broker: Broker) -> None:
    client = publishing(flush_at=100)
    names = [f"E{number}" for number in range(99)]
    for name in names:
        assert client.track("u", name)
    assert client.flush()
    messages = taken(broker.url, broker.queue)
    assert names_in(messages) == names
    assert [each.headers["datalyr-events"] for each in messages] == [99]
    assert messages[0].content_type == "application/x-ndjson"
    assert message.is_known(messages[0].headers)
    assert (client.stats.delivered, client.stats.waiting) == (99, 0)


def test_a_message_holds_a_hundred_events_at_most(publishing: Publishing, broker: Broker) -> None:
    client = publishing(max_queue_size=1000)
    for number in range(250):
        client.track("u", f"E{number}")
    assert client.flush()
    messages = taken(broker.url, broker.queue)
    assert names_in(messages) == [f"E{number}" for number in range(250)]
    assert max(each.headers["datalyr-events"] for each in messages) <= 100
    assert len(messages) < 20


def test_a_message_is_small_enough_for_sqs(publishing: Publishing, broker: Broker) -> None:
    client = publishing()
    sizes = [10_000] * 30 + [300_000] + [10_000] * 2
    for number, size in enumerate(sizes):
        client.track("u", f"E{number}", {"text": "x" * size})
    assert client.flush()
    messages = taken(broker.url, broker.queue)
    assert names_in(messages) == [f"E{number}" for number in range(33)]
    long = [each for each in messages if len(each.body) > message.MAX_BYTES]
    assert [len(message.unpack(each.body)) for each in long] == [1]  # nothing goes with it


def test_the_body_is_what_the_ingest_would_have_got_and_holds_no_key(
    publishing: Publishing, broker: Broker
) -> None:
    client = publishing(api_key="dk_hush")
    client.track("u", "E", {"text": "line\nbreak, ümläut"}, event_id="evt_1")
    assert client.flush()
    [taken_message] = taken(broker.url, broker.queue)
    [body] = message.unpack(taken_message.body)
    event = orjson.loads(body)
    assert (event["event"], event["userId"], event["eventId"]) == ("E", "u", "evt_1")
    assert event["properties"]["text"] == "line\nbreak, ümläut"
    told = repr((taken_message.headers, taken_message.properties, taken_message.body))
    assert "hush" not in told


def test_what_comes_meanwhile_is_left_to_become_a_message(
    publishing: Publishing, broker: Broker
) -> None:
    client = publishing(flush_at=20)
    for number in range(20):
        client.track("u", f"E{number}")
    assert eventually(lambda: client.stats.delivered >= 20, 30)
    client.track("u", "late")
    assert not eventually(lambda: client.stats.waiting == 0, 0.3)
    assert client.flush()
    assert names_at(broker.url, broker.queue)[-1] == "late"


def test_a_close_delivers(publishing: Publishing, broker: Broker) -> None:
    client = publishing()
    for number in range(150):
        client.track("u", f"E{number}")
    assert client.close(timeout=30)
    assert len(names_at(broker.url, broker.queue)) == 150


def test_a_connection_is_kept(publishing: Publishing, broker: Broker) -> None:
    client = publishing()
    transport = client._sender._transport
    kept = []
    for number in range(3):
        client.track("u", f"E{number}")
        assert client.flush()
        kept.append([each.publisher for each in transport._idle])
    assert len(kept[0]) == 1
    assert kept[0] == kept[1] == kept[2]
    assert client.close()
    assert not transport._idle


def test_debug_shows_events_and_no_password(
    publishing: Publishing, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "datalyr")
    client = publishing(debug=True)
    client.track("u", "E")
    client.flush()
    assert 'sent b\'{"event":"E"' in caplog.text
    assert "guest:guest" not in caplog.text + repr(client)
