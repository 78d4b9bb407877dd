"""The transport by itself, and how a configuration asks for it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from datalyr_core import Config, ConfigurationError, Datalyr, Reply
from datalyr_core.delivery import broker as module
from datalyr_core.testing import recording_client
from tests.broker.taking import names_at
from tests.support.brokers import Broker
from tests.support.waiting import eventually

pytest.importorskip("kombu")


@pytest.fixture
def transport(broker: Broker) -> Iterator[module.BrokerTransport]:
    config = Config(api_key="dk_test", broker=broker.url, broker_queue=broker.queue, timeout=30)
    made = module.BrokerTransport(config)
    yield made
    made.close()


def body(name: str) -> bytes:
    return b'{"event":"%s"}' % name.encode()


# Connections


def test_an_idle_connection_is_closed_after_a_while(
    transport: module.BrokerTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport.send_many([body("A")])
    [kept] = transport._idle
    transport.rest()
    assert list(transport._idle) == [kept]
    monkeypatch.setattr(module, "KEEP", 0.0)
    assert eventually(lambda: (transport.rest(), not transport._idle)[1], 5)
    transport.send_many([body("B")])
    assert len(transport._idle) == 1


def test_the_senders_thread_lets_the_transport_rest(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datalyr_core import sender

    monkeypatch.setattr(module, "KEEP", 0.0)
    monkeypatch.setattr(sender, "REST", 0.05)
    with Datalyr("dk_test", broker=broker.url, broker_queue=broker.queue, timeout=20) as client:
        client.track("u", "A")
        assert client.flush()
        assert eventually(lambda: not client._sender._transport._idle, 20)  # type: ignore[union-attr]  # it is one
        client.track("u", "B")
        assert client.flush()
    assert names_at(broker.url, broker.queue) == ["A", "B"]


def test_a_thread_with_a_deadline_uses_a_connection_of_its_own(
    transport: module.BrokerTransport, broker: Broker
) -> None:
    transport.send_many([body("A")])
    kept = list(transport._idle)
    transport.deadline = time.monotonic() + 30
    transport.send_many([body("B")])
    transport.deadline = None
    assert list(transport._idle) == kept
    assert names_at(broker.url, broker.queue) == ["A", "B"]


def test_a_connection_in_use_at_the_close_is_closed_by_its_user(
    transport: module.BrokerTransport, broker: Broker
) -> None:
    transport.close()
    transport.send_many([body("A")])
    assert not transport._idle
    assert names_at(broker.url, broker.queue) == ["A"]


# Configuration


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "rediss://user:p%40ss@redis.example:6380/1",
        "redis+socket:///run/redis.sock",
        "sentinel://a:26379;sentinel://b:26379",
        "amqp://guest:guest@127.0.0.1:5672//",
        "amqps://mq.example/shop",
        "memory://",
        "sqs://",
    ],
)
def test_urls_of_brokers(url: str) -> None:
    assert Config(api_key="dk_test", broker=url).broker == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        5,
        "127.0.0.1:6379",
        "http://broker.example",
        "redis:/127.0.0.1",
        "redis://127.0.0.1:port/0",
        "redis://127.0.0.1/0 ",
        "sqla+sqlite:///a.db",
        "sentinel://a;nonsense",
        "amqp://user:hush@" + "x" * 3000,
        "ftp://user:hush@h",
    ],
)
def test_what_is_no_url_of_a_broker(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"broker is .*write a URL such as") as told:
        Config(api_key="dk_test", broker=url)
    assert "hush" not in str(told.value)


@pytest.mark.parametrize("name", ["", "a b", "x" * 100, 5, "ü"])
def test_what_is_no_name_of_a_queue(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"broker_queue is .*'datalyr\.events'"):
        Config(api_key="dk_test", broker_queue=name)


def test_a_broker_and_a_transport_of_ones_own() -> None:
    import httpx

    class Mine:
        def send(self, body: bytes) -> Reply:
            return Reply(200)

    with httpx.Client() as http:
        for other in ({"transport": Mine()}, {"http_client": http}):
            with pytest.raises(ConfigurationError, match="broker takes the events itself; leave"):
                Config(api_key="dk_test", broker="memory://", **other)
    with recording_client() as client:
        assert client.config.broker is None


def test_a_password_is_in_no_message(caplog: pytest.LogCaptureFixture) -> None:
    config = Config(api_key="dk_test", broker="amqp://user:hush@127.0.0.1:1//")
    assert "hush" not in repr(config)
    with Datalyr(config, retry_limit=0) as client:
        client.track("u", "E")
        client.flush(30)
        client.close(timeout=0)
    assert "the broker fails" in caplog.text
    assert "hush" not in caplog.text


MISSING = """
import sys
sys.modules["confluent_kafka"] = None
from datalyr_core import Datalyr
Datalyr("dk_test", broker=sys.argv[1])  # a traceback of Python 3.13 shows this line
"""


def test_a_driver_that_is_missing_is_known_at_the_start() -> None:
    broker = "confluentkafka://user:hush@127.0.0.1:9092"
    ended = subprocess.run(
        [sys.executable, "-c", MISSING, broker], check=False, stderr=subprocess.PIPE, text=True
    )
    assert "ConfigurationError: Datalyr cannot start:" in ended.stderr
    assert "  - broker cannot be set up (" in ended.stderr
    assert "'kombu[confluentkafka]'" in ended.stderr
    assert "hush" not in ended.stderr


WITHOUT = """
import sys
sys.modules["kombu"] = None
del sys.modules["kombu"]
import importlib.util as util
real = util.find_spec
util.find_spec = lambda name, *more: None if name == "kombu" else real(name, *more)
from datalyr_core import Datalyr
Datalyr("dk_test", broker="redis://127.0.0.1:6379/0")
"""


def test_without_kombu_the_message_says_what_to_install() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT], check=False, stderr=subprocess.PIPE, text=True
    )
    assert "broker needs a package: pip install 'datalyr[broker]'" in ended.stderr


def test_a_client_without_a_broker_imports_no_kombu() -> None:
    program = (
        "import sys; from datalyr_core import Datalyr; Datalyr('dk_test').close(); "
        "sys.exit('kombu' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# In a test run


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("redis://broker.example:6379/0", "broker.example"),
        ("sentinel://127.0.0.1:1;sentinel://broker.example:1", "broker.example"),
        ("sqs://", "Amazon SQS"),
    ],
)
def test_no_test_reaches_a_broker_elsewhere(
    url: str, host: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATALYR_LIVE", raising=False)
    if url == "sqs://":
        pytest.importorskip("boto3")
    with Datalyr("dk_test", broker=url) as client:
        client.track("u", "E")
        assert not client.flush()
        assert client.stats.dropped == {"permanent_client_error": 1}
    assert f"{host} is not on this machine" in caplog.text


def test_recorded_events_reach_no_broker(datalyr_events: list[Any]) -> None:
    with Datalyr("dk_test", broker="memory://", broker_queue="recorded") as client:
        client.track("u", "E")
        assert client.flush()
        assert client.stats.accepted == 0
    assert [event.event for event in datalyr_events] == ["E"]


def test_kombus_memory(caplog: pytest.LogCaptureFixture) -> None:
    with Datalyr("dk_test", broker="memory://", broker_queue="memory.test") as client:
        for number in range(5):
            client.track("u", f"E{number}")
        assert client.flush()
    assert names_at("memory://", "memory.test") == [f"E{number}" for number in range(5)]
    assert caplog.records == []
