"""A broker that is not there, goes away or hangs: events wait, and nobody waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from datalyr_core import Config, Datalyr
from datalyr_core.delivery.base import STALE
from datalyr_core.delivery.broker import BrokerTransport
from datalyr_core.errors import Unavailable
from tests.broker.conftest import Publishing
from tests.broker.taking import names_at, taken
from tests.support.brokers import Broker
from tests.support.waiting import eventually

QUEUE = "datalyr.events"


@pytest.fixture
def client(mortal: Any) -> Iterator[Datalyr]:
    with Datalyr("dk_test", broker=mortal.url, timeout=5, flush_interval=1) as client:
        yield client
        client.close(timeout=0)


def track(client: Datalyr, *names: str) -> None:
    for name in names:
        assert client.track("u", name)


def test_a_broker_that_is_down_at_start(
    mortal: Any, client: Datalyr, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"E{number}" for number in range(150)]
    track(client, *names)
    assert eventually(lambda: "the broker fails" in caplog.text, 60)
    assert client.stats.waiting == 150
    mortal.start()
    assert eventually(lambda: client.stats.delivered == 150, 60)
    # A message that RabbitMQ was too slow to confirm comes later, and twice.
    assert set(names_at(mortal.url, QUEUE)) == set(names)
    told = [record.getMessage() for record in caplog.records]
    assert told[0].startswith("the broker fails (")
    assert told[-1].startswith("the broker answers again; ")
    if mortal.kind == "redis":  # RabbitMQ takes connections before it has its users
        assert len(told) == 2
    assert "guest:guest" not in caplog.text


def test_a_broker_that_is_killed_and_comes_back(
    mortal: Any, client: Datalyr, caplog: pytest.LogCaptureFixture
) -> None:
    mortal.start()
    track(client, *(f"before {number}" for number in range(50)))
    assert eventually(lambda: client.stats.delivered == 50, 60)
    # Redis is told to remember nothing; RabbitMQ has confirmed what it has on disk.
    before = names_at(mortal.url, QUEUE) if mortal.kind == "redis" else []
    mortal.kill()
    track(client, *(f"during {number}" for number in range(50)))
    assert eventually(lambda: "the broker fails" in caplog.text, 60)
    mortal.start()
    track(client, *(f"after {number}" for number in range(50)))
    assert eventually(lambda: client.stats.delivered == 150, 60)
    found = before + names_at(mortal.url, QUEUE)
    expected = [
        f"{when} {number}" for when in ("before", "during", "after") for number in range(50)
    ]
    assert sorted(set(found)) == sorted(expected)
    assert client.stats.dropped == {}


def test_a_restart_between_two_messages_is_no_failure(
    mortal: Any, client: Datalyr, caplog: pytest.LogCaptureFixture
) -> None:
    mortal.start()
    track(client, "first")
    assert client.flush(60)
    mortal.kill()
    mortal.start()
    track(client, "second")
    assert client.flush(60)
    assert (client.stats.retried, caplog.records) == (0, [])
    assert names_at(mortal.url, QUEUE)[-1] == "second"


def test_a_kept_connection_that_breaks_off_late_is_a_failure(mortal: Any) -> None:
    """Published again in the little time that is left, its confirmation would come too late."""
    mortal.start()
    transport = BrokerTransport(Config(api_key="dk_test", broker=mortal.url, timeout=60))
    transport.send_many([b"{}"])
    mortal.pause()
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(transport.send_many, [b"{}"])
        with pytest.raises(TimeoutError):
            sent.result(3 * STALE)
        mortal.kill()
        with pytest.raises(Unavailable) as caught:
            sent.result(30)
    assert "refused" not in str(caught.value)  # as a new connection would be
    transport.close()


def test_no_event_is_given_up_however_often_the_broker_fails(mortal: Any) -> None:
    with Datalyr("dk_test", broker=mortal.url, retry_limit=0, flush_interval=3600) as client:
        track(client, "E")
        for _ in range(15):
            assert not client.flush(30)
        assert client.stats.waiting == 1
        mortal.start()
        assert client.flush(30)
        assert names_at(mortal.url, QUEUE) == ["E"]


def test_flush_gives_up_when_a_whole_pass_delivers_nothing(mortal: Any) -> None:
    errors: list[tuple[str, str]] = []
    with Datalyr(
        "dk_test",
        broker=mortal.url,
        retry_limit=1,
        on_error=lambda event, error: errors.append((event.event, str(error))),
    ) as client:
        track(client, "A", "B")
        assert not client.flush()
        assert {name for name, _ in errors} == {"A", "B"}
        assert all("refused" in error for _, error in errors)
        client.close(timeout=0)
        assert client.stats.dropped == {"close_timeout": 2}


# A broker that takes connections and says nothing


def test_a_hanging_broker_delays_nobody(hanging_url: str, caplog: pytest.LogCaptureFixture) -> None:
    client = Datalyr("dk_test", broker=hanging_url, timeout=1, retry_limit=0)
    begun = time.monotonic()
    track(client, *(f"E{number}" for number in range(50)))
    assert time.monotonic() - begun < 1
    assert not client.flush(timeout=30)
    assert client.stats.waiting == 50
    assert "the broker fails" in caplog.text
    begun = time.monotonic()
    assert not client.close(timeout=1)
    assert time.monotonic() - begun < 5
    assert client.stats.dropped == {"close_timeout": 50}


def test_one_send_takes_no_longer_than_the_time_out(hanging_url: str) -> None:
    from datalyr_core import Config
    from datalyr_core.delivery.broker import BrokerTransport
    from datalyr_core.errors import Unavailable

    transport = BrokerTransport(Config(api_key="dk_test", broker=hanging_url, timeout=1))
    for within in (1.0, 0.2):
        if within < 1:
            transport.deadline = time.monotonic() + within
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            transport.send_many([b"{}"])
        assert within * 0.9 <= time.monotonic() - begun < within + 3
    transport.deadline = None
    assert transport.deadline is None


def test_a_broker_that_stops_in_the_middle_and_goes_on(
    mortal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    mortal.start()
    with Datalyr(
        "dk_test", broker=mortal.url, timeout=1, retry_limit=0, flush_interval=3600
    ) as client:
        track(client, "first")
        assert eventually(lambda: client.flush(60), 60)
        caplog.clear()
        mortal.pause()
        track(client, "second")
        begun = time.monotonic()
        assert not client.flush()
        assert time.monotonic() - begun < 20
        assert "the broker fails" in caplog.text
        mortal.pause(go_on=True)
        assert eventually(lambda: client.flush(60), 60)
        assert client.stats.delivered == 2
        # The broker had the message all the while: it is there twice, and counted once.
        assert set(names_at(mortal.url, QUEUE)) == {"first", "second"}


def test_a_close_does_not_wait_for_a_broker_that_has_stopped(mortal: Any) -> None:
    mortal.start()
    client = Datalyr("dk_test", broker=mortal.url, timeout=60, flush_interval=3600)
    track(client, "first")
    assert eventually(lambda: client.flush(60), 60)
    mortal.pause()
    begun = time.monotonic()
    assert client.close()  # nothing waits; there is only a connection to close
    assert time.monotonic() - begun < 10
    mortal.pause(go_on=True)


# What an operator has to mend


def test_another_trouble_that_an_operator_has_to_mend_is_said_as_well(
    mortal: Any, caplog: pytest.LogCaptureFixture
) -> None:
    if mortal.kind != "redis":
        pytest.skip("one broker is enough")
    from redis import Redis

    with Datalyr("dk_test", broker=mortal.url, timeout=5, retry_limit=0) as client:
        track(client, "E")
        assert not client.flush()
        mortal.start()
        with Redis.from_url(mortal.url) as redis:
            redis.config_set("requirepass", "hush")
        assert not client.flush()
        assert not client.flush()
        assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
        assert "check the user and the password" in caplog.text
        with Redis.from_url(mortal.url, password="hush") as redis:
            redis.config_set("requirepass", "")
        assert eventually(lambda: client.flush(30), 60)
        assert "the broker answers again" in caplog.text


def test_a_refused_user_is_one_loud_error_and_no_loss(
    rabbitmq: Any, caplog: pytest.LogCaptureFixture
) -> None:
    url = rabbitmq.url.replace("guest:guest", "guest:hush")
    with Datalyr("dk_test", broker=url, retry_limit=1, timeout=20) as client:
        track(client, "E")
        assert not client.flush()
        assert not client.flush()
        assert client.stats.waiting == 1
        [record] = caplog.records
        assert record.levelno == logging.ERROR
        assert "the broker fails (AccessRefused" in record.getMessage()
        assert "check the user and the password" in record.getMessage()
        assert "hush" not in caplog.text
        client.close(timeout=0)


@pytest.mark.parametrize(("vhost", "remedy"), [("nowhere", "check the virtual host in broker")])
def test_a_virtual_host_that_is_not_there(
    vhost: str, remedy: str, rabbitmq: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Datalyr("dk_test", broker=rabbitmq.url[:-1] + vhost, retry_limit=0, timeout=20) as client:
        track(client, "E")
        assert not client.flush()
        assert remedy in caplog.text
        client.close(timeout=0)


def test_a_queue_that_is_deleted_is_made_again(
    rabbitmq: Any, publishing_to_rabbitmq: Datalyr, caplog: pytest.LogCaptureFixture
) -> None:
    client = publishing_to_rabbitmq
    track(client, "first")
    assert client.flush()
    rabbitmq.control("delete_queue", client.config.broker_queue)
    track(client, "second")
    assert client.flush()
    assert names_at(rabbitmq.url, client.config.broker_queue) == ["second"]
    assert (client.stats.retried, caplog.records) == (0, [])


@pytest.fixture
def publishing_to_rabbitmq(rabbitmq: Any, request: pytest.FixtureRequest) -> Iterator[Datalyr]:
    queue = f"test.{request.node.name}"[:60]
    with Datalyr("dk_test", broker=rabbitmq.url, broker_queue=queue, timeout=20) as client:
        yield client


def test_a_queue_that_is_at_its_limit_says_so(
    rabbitmq: Any, publishing_to_rabbitmq: Datalyr, caplog: pytest.LogCaptureFixture
) -> None:
    client = publishing_to_rabbitmq
    name = client.config.broker_queue
    limit = '{"max-length": 1, "overflow": "reject-publish"}'
    rabbitmq.control("set_policy", "--apply-to", "queues", name, f"^{name}$", limit)
    track(client, "first")
    assert client.flush()
    track(client, "second")
    assert not client.flush()
    assert "the queue is at its limit" in caplog.text
    rabbitmq.control("clear_policy", name)
    assert eventually(lambda: client.flush(30), 60)
    assert names_at(rabbitmq.url, name) == ["first", "second"]


@contextmanager
def limited(rabbitmq: Any, size: int) -> Iterator[None]:
    """Have messages refused that are larger, on connections that are made from here on."""
    name = "rabbit, max_message_size"
    before = rabbitmq.control("eval", f"{{ok, Size}} = application:get_env({name}), Size.")
    rabbitmq.control("eval", f"application:set_env({name}, {size}).")
    try:
        yield
    finally:
        rabbitmq.control("eval", f"application:set_env({name}, {before.strip()}).")


def test_an_event_that_is_larger_than_a_message_may_be_is_dropped_and_counted(
    rabbitmq: Any, publishing_to_rabbitmq: Datalyr, caplog: pytest.LogCaptureFixture
) -> None:
    client = publishing_to_rabbitmq
    with limited(rabbitmq, 200_000):
        track(client, "first")
        for number in range(2):
            client.track("u", "large", {"text": "x" * (300_000 + number)})
        track(client, "last")
        assert not client.flush()
    assert client.stats.dropped == {"permanent_client_error": 2}
    assert (client.stats.delivered, client.stats.waiting) == (2, 0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the broker takes no message as large as the event" in caplog.text
    assert set(names_at(rabbitmq.url, client.config.broker_queue)) == {"first", "last"}


def test_a_limit_that_is_lower_than_a_message_of_several_costs_no_event(
    rabbitmq: Any, publishing_to_rabbitmq: Datalyr, caplog: pytest.LogCaptureFixture
) -> None:
    client = publishing_to_rabbitmq
    with limited(rabbitmq, 1000):
        track(client, *(f"E{number}" for number in range(10)))
        assert not client.flush()
        assert client.stats.waiting == 10
        assert "raise the broker's limit on the size of a message" in caplog.text
    assert eventually(lambda: client.flush(30), 60)


def test_a_queue_that_an_operator_has_made_is_used_as_it_is(
    rabbitmq: Any, publishing_to_rabbitmq: Datalyr, caplog: pytest.LogCaptureFixture
) -> None:
    from kombu import Queue

    from datalyr_core.broker.connection import connect, connection_to

    name = publishing_to_rabbitmq.config.broker_queue
    with connection_to(rabbitmq.url, timeout=20) as connection:
        connect(connection)
        Queue(name, durable=True, queue_arguments={"x-queue-type": "quorum"})(
            connection.channel()
        ).declare()
    track(publishing_to_rabbitmq, "E")
    assert publishing_to_rabbitmq.flush()
    assert caplog.records == []
    [message] = taken_as_they_are(rabbitmq.url, name)
    assert b'"event":"E"' in message.body


def taken_as_they_are(url: str, queue: str) -> list[Any]:
    from kombu import Queue

    from datalyr_core.broker.connection import connect, connection_to

    with connection_to(url, timeout=20) as connection:
        connect(connection)
        got = Queue(queue)(connection.channel()).get(no_ack=True)
        return [got]


def test_a_broker_without_memory_says_so(mortal: Any, caplog: pytest.LogCaptureFixture) -> None:
    mortal.start()
    with Datalyr("dk_test", broker=mortal.url, timeout=5, retry_limit=0) as client:
        track(client, "first")
        assert client.flush()
        fill(mortal)
        track(client, "second")
        assert not client.flush()
        assert "give the broker room" in caplog.text
        assert client.stats.waiting == 1
        empty(mortal)
        assert eventually(lambda: client.flush(30), 60)
        found = names_at(mortal.url, QUEUE)
        assert set(found) == {"first", "second"}


def fill(server: Any) -> None:
    if server.kind == "redis":
        from redis import Redis

        with Redis.from_url(server.url) as redis:
            redis.config_set("maxmemory", "1mb")
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", "1")
    else:
        server.control("set_vm_memory_high_watermark", "absolute", "1")
        assert eventually(
            lambda: "memory" in server.control("eval", "rabbit_alarm:get_alarms()."), 60
        )


def empty(server: Any) -> None:
    if server.kind == "redis":
        from redis import Redis

        with Redis.from_url(server.url) as redis:
            redis.config_set("maxmemory", "0")
    else:
        server.control("set_vm_memory_high_watermark", "0.4")


def test_a_redis_that_forgets_between_two_messages_loses_nothing_later(
    redis_url: str, broker: Broker, publishing: Publishing
) -> None:
    if broker.kind != "redis":
        pytest.skip("RabbitMQ does not forget")
    from redis import Redis

    client = publishing()
    track(client, "first")
    assert client.flush()
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
    track(client, "second")
    assert client.flush()
    assert names_at(broker.url, broker.queue) == ["second"]
    assert taken(broker.url, broker.queue) == []
