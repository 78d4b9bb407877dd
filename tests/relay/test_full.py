"""A broker that has no room: it hands out messages, and takes none."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.relay.conftest import MakeRelay
from tests.support.brokers import Broker
from tests.support.ingest import DOWN, OK, Answer, IngestServer, Received
from tests.support.waiting import eventually

pytest.importorskip("kombu")

from datalyr_core.broker.intake import Source, opened  # it may be missing
from tests.support.relays import dead_letters, publish

SOON = 60.0  # seconds
Filling = Callable[[], Any]


@pytest.fixture
def full(broker: Broker, request: pytest.FixtureRequest) -> Filling:
    """Let the broker be full for the length of a block."""
    return _full_redis(broker.url) if broker.kind == "redis" else _full_rabbitmq(request)


def _full_redis(url: str) -> Filling:
    from redis import Redis

    @contextmanager
    def full() -> Iterator[None]:
        with Redis.from_url(url) as redis:
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", "1")
            try:
                yield
            finally:
                redis.config_set("maxmemory", "0")

    return full


def _full_rabbitmq(request: pytest.FixtureRequest) -> Filling:
    server = request.getfixturevalue("rabbitmq")

    def alarms() -> str:
        return str(server.control("eval", "rabbit_alarm:get_alarms()."))

    @contextmanager
    def full() -> Iterator[None]:
        server.control("set_vm_memory_high_watermark", "absolute", "1")
        try:
            assert eventually(lambda: "memory" in alarms(), SOON)
            yield
        finally:
            server.control("set_vm_memory_high_watermark", "0.4")
            assert eventually(lambda: "memory" not in alarms(), SOON)

    return full


def refusing_bad(received: Received) -> Answer:
    return Answer(400) if received.body["event"].startswith("bad") else OK


GOOD = [f"good {number}" for number in range(20)]


def left(source: Source) -> int:
    with opened(source) as intake:
        return intake.count()


def test_what_is_delivered_is_acknowledged_while_dead_letters_wait_for_room(
    source: Source, make_relay: MakeRelay, ingest: IngestServer, full: Filling
) -> None:
    ingest.answer = refusing_bad
    publish(source, "bad 1", "bad 2", size=2)
    publish(source, *GOOD)
    with full():
        relay = make_relay()
        assert eventually(lambda: len(ingest.accepted) == len(GOOD), SOON)
        assert eventually(lambda: relay.status()["held_messages"] == 1, SOON)
        assert left(source) == 0
        assert eventually(lambda: relay.problems(), SOON)
        assert relay.problems()[0].startswith("the broker takes nothing: ")
        assert relay.status()["connected"]
    assert eventually(lambda: relay.status()["held_messages"] == 0, SOON)
    assert eventually(lambda: relay.problems() == [], SOON)
    assert relay.status()["dead"] == 2
    # What RabbitMQ did not read in time it finds in the socket later, and has it twice.
    assert len({body for body, _ in dead_letters(source)}) == 2
    assert Counter(ingest.names) == Counter(GOOD)


def test_a_relay_that_connects_again_while_there_is_no_room_goes_on(
    source: Source, make_relay: MakeRelay, ingest: IngestServer, full: Filling
) -> None:
    ingest.answer = DOWN
    publish(source, *GOOD)
    with full():
        # It can put nothing back, and connects again for that.
        few = dataclasses.replace(source, prefetch=2)
        relay = make_relay(of=few, visibility_timeout=2.0, retry_limit=0)
        assert eventually(lambda: relay.status()["messages"] > few.prefetch, SOON)
        ingest.answer = OK
        assert eventually(lambda: left(source) == 0, SOON)
        assert eventually(lambda: relay.status()["held_messages"] == 0, SOON)
        assert len(ingest.accepted) > few.prefetch
    assert eventually(lambda: set(ingest.names) == set(GOOD), SOON)


def test_what_has_no_room_for_long_comes_again(
    source: Source, make_relay: MakeRelay, ingest: IngestServer, full: Filling
) -> None:
    if source.url.startswith("redis"):
        pytest.skip("to hand it out again, Redis needs room itself")
    ingest.answer = refusing_bad
    publish(source, "bad", "good", size=2)
    with full():
        relay = make_relay(visibility_timeout=2.0)
        assert eventually(lambda: relay.status()["messages"] > 1, SOON)
    assert eventually(lambda: relay.status()["held_messages"] == 0, SOON)
    assert eventually(lambda: len(dead_letters(source)) >= 1, SOON)
    assert ingest.names == ["good"]
