"""What the relay does in its own way on Redis."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pytest

from datalyr_core.broker import message as wire
from datalyr_core.broker.intake import Source, body_of, opened
from datalyr_core.relay import consumer
from tests.relay.conftest import MakeRelay
from tests.support.ingest import SILENCE, IngestServer
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


def test_what_another_relay_has_by_now_is_left_to_it(
    redis_url: str,
    source: Source,
    client: Any,
    make_relay: MakeRelay,
    ingest: IngestServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "backoff", lambda failures, jitter: 0.1)
    ingest.answer = SILENCE
    client.execute_command("ACL", "SETUSER", "late", "on", ">hush", "~*", "+@all")
    url = redis_url.replace("//", "//late:hush@")
    publish(source, "one")
    relay = make_relay(of=dataclasses.replace(source, url=url), broker=url, visibility_timeout=4.0)
    assert eventually(lambda: relay.status()["messages"] == 1, 30)
    came = time.monotonic()
    client.execute_command("ACL", "SETUSER", "late", "off")
    client.execute_command("CLIENT", "KILL", "USER", "late")

    def asked() -> list[str]:
        return [each.body["event"] for each in ingest.requests]

    assert eventually(lambda: time.monotonic() > came + 4.0, 30)
    taken: list[Any] = []
    with opened(source) as other:
        other.consume(taken.append, lambda message, problem: None)
        assert eventually(lambda: other.drain(0.05) or taken, 30)
        other.cancel()
        client.execute_command("ACL", "SETUSER", "late", "on")
        assert eventually(lambda: relay.status()["connected"], 30)
        publish(source, "two")
        assert eventually(lambda: "two" in asked(), 30)
        assert asked() == ["one", "two"]
        taken[0].ack()


def test_a_redis_that_refuses_what_is_asked_is_asked_ever_less_often(
    redis_url: str,
    source: Source,
    client: Any,
    make_relay: MakeRelay,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.execute_command("ACL", "SETUSER", "bare", "on", ">hush", "~*", "+@all", "-eval")
    url = redis_url.replace("//", "//bare:hush@")
    make_relay(of=dataclasses.replace(source, url=url), broker=url)

    def lost() -> list[float]:
        return [each.created for each in caplog.records if "is not there" in each.getMessage()]

    assert eventually(lambda: len(lost()) == 4, 60)
    assert lost()[3] - lost()[2] > 1.5
    assert "hush" not in caplog.text


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


def put(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Put this machine's wall clock forward or back."""
    from kombu.transport import redis

    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + seconds)
    monkeypatch.setattr(redis, "time", time.time)


def test_a_clock_that_is_put_forward_hands_out_nothing_that_is_held(
    redis_url: str, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(redis_url, queue, visibility_timeout=600)
    publish(source, "one")
    taken: list[Any] = []
    with opened(source) as one, opened(source) as other:
        one.consume(taken.append, lambda message, problem: None)
        assert eventually(lambda: one.drain(0.05) or taken, 30)
        put(monkeypatch, 86_400)
        other.consume(taken.append, lambda message, problem: None)
        publish(source, "two")
        for _ in range(30):  # kombu looks with every tenth
            other.drain(0.05)
        assert [body_of(each)[:14] for each in taken] == [b'{"event":"one"', b'{"event":"two"']
        for each in taken:
            each.ack()


def test_a_clock_that_is_put_back_keeps_nothing_away(
    source: Source, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(source, "one")
    with opened(source) as intake:
        client.execute_command(*intake._channel._take([source.queue]))
    put(monkeypatch, -86_400)
    taken: list[Any] = []
    with opened(source) as intake:
        intake.consume(taken.append, lambda message, problem: None)
        assert eventually(lambda: intake.drain(0.05) or taken, 30)
        taken[0].ack()
