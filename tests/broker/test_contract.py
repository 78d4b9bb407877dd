"""What web processes and relays agree on."""

from __future__ import annotations

import pytest
from kombu import Producer

from datalyr_core.broker import message
from datalyr_core.broker.connection import connect, connection_to
from datalyr_core.broker.queues import dead_queue, declare, events_queue
from tests.support.brokers import Broker
from tests.support.waiting import eventually

BODIES = [b'{"event":"A"}', b'{"event":"B","text":"\\n"}']


def test_bodies_come_out_as_they_went_in() -> None:
    assert message.unpack(message.pack(BODIES)) == BODIES
    assert message.unpack(message.pack([])) == []


@pytest.mark.parametrize(
    ("headers", "known"),
    [(message.headers(2), True), ({"datalyr-format": 2}, False), ({"task": "a.b"}, False)],
)
def test_a_message_of_somebody_else_is_known_by_its_headers(
    headers: dict[str, object], known: bool
) -> None:
    assert message.is_known(headers) is known


def test_a_relays_own_options_win() -> None:
    options = connection_to(
        "redis://127.0.0.1/0", timeout=5, visibility_timeout=60, socket_timeout=7
    ).transport_options
    assert (options["visibility_timeout"], options["socket_timeout"]) == (60, 7)
    assert options["socket_connect_timeout"] == 5


def test_a_message_on_a_real_broker(broker: Broker) -> None:
    with connection_to(broker.url, timeout=20) as connection:
        connect(connection)
        channel = connection.channel()
        declare(channel, broker.queue)
        declare(channel, broker.queue)
        Producer(channel).publish(
            message.pack(BODIES),
            routing_key=broker.queue,
            content_type=message.CONTENT_TYPE,
            content_encoding=message.CONTENT_ENCODING,
            delivery_mode=message.PERSISTENT,
            headers=message.headers(len(BODIES)),
        )
        queue = events_queue(broker.queue)(channel)
        taken = eventually(queue.get, 20)
        assert message.unpack(taken.body) == BODIES
        assert message.is_known(taken.headers)
        assert (taken.content_type, taken.content_encoding) == (
            message.CONTENT_TYPE,
            message.CONTENT_ENCODING,
        )
        taken.reject()
        if broker.kind == "rabbitmq":
            dead = eventually(dead_queue(broker.queue)(channel).get, 20)
            assert message.unpack(dead.body) == BODIES
            dead.ack()
