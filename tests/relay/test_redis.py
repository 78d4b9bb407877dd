"""What the relay does in its own way on Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from datalyr_core.broker import message as wire
from datalyr_core.broker.intake import Source, body_of, opened
from tests.support.relays import event, publish, publish_raw
from tests.support.waiting import eventually


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    return f"test.{request.node.name}"


@pytest.fixture
def source(redis_url: str, queue: str) -> Source:
    return Source(redis_url, queue, visibility_timeout=1)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        yield client


def test_what_is_taken_is_noted_in_the_same_step(source: Source, client: Any) -> None:
    publish(source, "one", size=1)
    with opened(source) as intake:
        # As a relay does that is killed before it has read the answer.
        client.execute_command(*intake._channel._take([source.queue]))
    assert client.llen(source.queue) == 0
    assert client.hlen(f"{source.queue}.unacked") == 1

    taken: list[Any] = []
    with opened(source) as intake:
        intake.consume(taken.append, lambda message, problem: None)
        assert eventually(lambda: intake.drain(0.05) or taken, 30)
        (message,) = taken
        assert wire.unpack(body_of(message))[0].startswith(b'{"event":"one"')
        assert message.headers["redelivered"]
        message.ack()
    assert client.hlen(f"{source.queue}.unacked") == 0


def test_what_is_held_when_the_connection_is_closed_is_there_again_at_once(
    source: Source, client: Any
) -> None:
    publish(source, "one")
    taken: list[Any] = []
    with opened(source) as intake:
        intake.consume(taken.append, lambda message, problem: None)
        assert eventually(lambda: intake.drain(0.05) or taken, 30)
    assert client.llen(source.queue) == 1


def test_what_another_connection_held_is_restored_by_its_tags(source: Source, client: Any) -> None:
    publish(source, "one")
    with opened(source) as intake:
        client.execute_command(*intake._channel._take([source.queue]))
        (tag,) = client.hkeys(f"{source.queue}.unacked")
        intake.restore([tag.decode()])
        assert client.llen(source.queue) == 1


def test_a_celery_in_the_same_database_keeps_what_it_holds(source: Source, client: Any) -> None:
    client.zadd("unacked_index", {"task": 1})
    client.hset("unacked", "task", '[{"headers": {}, "properties": {}}, "", "celery"]')
    try:
        with opened(source) as intake:
            intake.consume(lambda message: None, lambda message, problem: None)
            publish_raw(source, [(event("one"), wire.headers(1))])
            assert eventually(lambda: intake.drain(0.05), 30)
            intake._next_chores = 0.0
            intake.drain(0.05)
        assert client.hlen("unacked") == 1
        assert client.llen("celery") == 0
    finally:
        client.delete("unacked", "unacked_index")
