"""How a relay ends, and how a broker does, with the relay in a process of its own."""

from __future__ import annotations

import dataclasses
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from datalyr_core.broker.intake import Source, opened
from tests.relay.conftest import StartRelay
from tests.support import relays
from tests.support.ingest import OK, SILENCE, Answer, IngestServer
from tests.support.rabbitmq import RabbitMQ, rabbitmq_command
from tests.support.redis import RedisServer, redis_command
from tests.support.relays import publish
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # RabbitMQ takes its time to start
NAMES = [f"event {number}" for number in range(60)]


def waiting(source: Source) -> int:
    """Return how many messages are in a queue."""
    with opened(source) as intake:
        return intake.count()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_is_on_its_way_and_gives_back_the_rest(
    source: Source, start_relay: StartRelay, ingest: IngestServer, number: int
) -> None:
    ingest.answer = Answer(delay=1.0)
    publish(source, *NAMES, size=20)
    with start_relay(concurrency="4") as relay:
        assert eventually(lambda: relay.status["in_flight"] == 4, 40)
        relay.terminate(number)
        assert relay.wait() == 0, relay.log
    begun, done = len(ingest.requests), len(ingest.accepted)
    assert begun == done, "what was on its way was not finished"
    assert done < len(NAMES)
    assert waiting(source) == 3

    ingest.answer = OK
    with start_relay():
        assert eventually(lambda: len(ingest.accepted) >= len(NAMES), 40)
    assert Counter(ingest.names) == Counter(NAMES)  # none is missing, none was sent twice


def test_an_ingest_that_hangs_holds_up_the_end_for_close_timeout_and_no_longer(
    source: Source, start_relay: StartRelay, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    publish(source, *NAMES, size=30)
    with start_relay(timeout="60", close_timeout="1") as relay:
        assert eventually(lambda: relay.status["in_flight"] > 0, 40)
        relay.terminate()
        assert relay.wait(50) == 0, relay.log
    assert waiting(source) == 2


def test_a_second_signal_ends_at_once(
    source: Source, start_relay: StartRelay, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    publish(source, *NAMES)
    with start_relay(timeout="60", close_timeout="120") as relay:
        assert eventually(lambda: relay.status["in_flight"] > 0, 40)
        relay.terminate()
        assert eventually(lambda: "stopping" in relay.log, 40)
        relay.terminate()
        assert relay.wait(40) == 130, relay.log


def test_a_relay_that_is_killed_loses_nothing(
    source: Source, start_relay: StartRelay, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    publish(source, *NAMES, size=6)
    with start_relay(timeout="60") as relay:
        assert eventually(lambda: relay.status["held_messages"] == 10, 40)
        assert eventually(lambda: relay.status["in_flight"] > 0, 40)
        relay.kill()
    ingest.answer = OK
    # Redis hands out again after the visibility time-out.
    with start_relay("--visibility-timeout", "5", timeout="1"):
        assert eventually(lambda: set(ingest.names) == set(NAMES), 60)


@pytest.fixture(params=["redis", "rabbitmq"])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer | RabbitMQ]:
    """A broker of the test's own, which keeps what it has on disk."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with _running(request.param, folder) as server:
        yield server


@contextmanager
def _running(kind: str, folder: Path) -> Iterator[Any]:
    if not (redis_command() if kind == "redis" else rabbitmq_command()):
        pytest.skip(f"{kind}-server is not installed")
    server = RedisServer(folder, durable=True) if kind == "redis" else RabbitMQ(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill() if isinstance(server, RedisServer) else server.close()


def test_a_broker_that_is_killed_and_comes_back_costs_no_event(
    mortal: RedisServer | RabbitMQ, ingest: IngestServer, tmp_path: Path
) -> None:
    source = Source(mortal.url, "test.events")
    ingest.answer = Answer(delay=0.2)
    publish(source, *NAMES, size=6)
    with relays.relay(source, ingest.url, tmp_path, concurrency="2") as relay:
        assert eventually(lambda: len(ingest.accepted) > 10, 60)
        mortal.kill()
        assert eventually(lambda: relay.problems, 60)
        assert relay.problems[0].startswith("the broker is not there: ")
        mortal.start()
        ingest.answer = OK
        assert eventually(lambda: set(ingest.names) == set(NAMES), 60)
        assert eventually(lambda: not relay.problems, 30)
        assert eventually(lambda: relay.status["held_messages"] == 0, 30)
        assert relay.status["dead"] == 0
        # What was delivered before it broke came again, and was not sent again.
        assert Counter(ingest.names) == Counter(NAMES)
        assert relay.status["known"] > 0
        assert "guest" not in relay.log
    assert waiting(source) == 0


def test_a_broker_that_hangs_holds_up_no_end(
    mortal: RedisServer | RabbitMQ, ingest: IngestServer, tmp_path: Path
) -> None:
    source = Source(mortal.url, "test.events")
    ingest.answer = SILENCE
    publish(source, *NAMES, size=6)
    short = {"timeout": "1", "close_timeout": "1"}
    with relays.relay(source, ingest.url, tmp_path, **short) as relay:
        assert eventually(lambda: relay.status["held_messages"] == 10, 40)
        mortal.pause()
        relay.terminate()
        relay.wait(50)  # with whatever status: the broker has not heard of it
        mortal.pause(go_on=True)
    ingest.answer = OK
    with relays.relay(source, ingest.url, tmp_path, "--visibility-timeout", "5", timeout="1"):
        assert eventually(lambda: set(ingest.names) == set(NAMES), 120)


def test_a_broker_that_is_not_there_yet_is_waited_for(
    source: Source, ingest: IngestServer, tmp_path: Path
) -> None:
    if not redis_command():
        pytest.skip("redis-server is not installed")
    folder = tmp_path / "broker"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    server.kill()
    late = dataclasses.replace(source, url=server.url)
    try:
        with relays.RelayProcess(late, ingest.url, tmp_path) as relay:
            assert eventually(lambda: relay.status["connected"] is False and relay.problems, 30)
            server.start()
            publish(late, "late")
            assert eventually(lambda: ingest.names == ["late"], 60)
            assert relay.problems == []
            relay.terminate()
            assert relay.wait() == 0
    finally:
        server.kill()
