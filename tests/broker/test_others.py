"""Kafka and SQS, as far as they can be had on one machine."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from datalyr_core import Config, Datalyr
from datalyr_core.broker import message
from datalyr_core.delivery.broker import BrokerTransport
from datalyr_core.errors import Unavailable
from tests.broker.taking import names_at

pytest.importorskip("kombu")


def kafka_cluster() -> tuple[Any, str]:
    """A mock of a cluster, within this process, that is there for as long as it is referred to."""
    kafka = pytest.importorskip("confluent_kafka")
    cluster = kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    [member] = cluster.list_topics(timeout=30).brokers.values()
    return cluster, f"confluentkafka://127.0.0.1:{member.port}"


def test_kafka() -> None:
    cluster, url = kafka_cluster()
    with Datalyr("dk_test", broker=url, timeout=30) as client:
        names = [f"E{number}" for number in range(50)]
        for name in names:
            client.track("u", name)
        assert client.flush()
    assert names_at(url, "datalyr.events") == names
    assert cluster is not None


def test_a_kafka_that_goes_away_loses_nothing() -> None:
    cluster, url = kafka_cluster()
    with Datalyr("dk_test", broker=url, timeout=2, retry_limit=0) as client:
        client.track("u", "first")
        assert client.flush(60)
        del cluster
        client.track("u", "second")
        assert not client.flush(60)
        assert (client.stats.delivered, client.stats.waiting) == (1, 1)
        client.close(timeout=0)


def test_an_event_that_is_too_large_for_kafka_is_dropped_and_counted() -> None:
    cluster, url = kafka_cluster()
    with Datalyr("dk_test", broker=url, timeout=30) as client:
        client.track("u", "large", {"text": "x" * 2_000_000})
        client.track("u", "small")
        assert not client.flush()
        assert client.stats.dropped == {"permanent_client_error": 1}
        assert (client.stats.delivered, client.stats.waiting) == (1, 0)
    assert cluster is not None


def test_an_sqs_that_hangs_takes_no_longer_than_it_may(hanging: int) -> None:
    pytest.importorskip("boto3")
    url = f"sqs://key:hush@127.0.0.1:{hanging}"
    transport = BrokerTransport(Config(api_key="dk_test", broker=url, timeout=1))
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="Read timeout") as told:
        transport.send_many([b"{}"])
    assert time.monotonic() - begun < 15
    assert "hush" not in str(told.value)


class SQSHandler(BaseHTTPRequestHandler):
    """Answer as much as is asked of SQS when something is published."""

    server: SQS

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = asked.get("MessageBody")
        if body is None:  # whatever is asked about the queue
            url = f"http://127.0.0.1:{self.server.server_port}/1/queue"
            self.answer(200, {"QueueUrl": url, "Attributes": {"ApproximateNumberOfMessages": "0"}})
        elif len(body) > 262_144:
            why = "One or more parameters are invalid. Reason: Message must be shorter than 262144"
            kind = "com.amazonaws.sqs#InvalidParameterValue"
            self.answer(400, {"__type": kind, "message": f"{why} bytes."})
        else:
            self.server.bodies.append(body)
            digest = hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()
            self.answer(200, {"MessageId": "id", "MD5OfMessageBody": digest})

    def answer(self, status: int, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *arguments: object) -> None:
        """Say nothing."""


class SQS(ThreadingHTTPServer):
    """A queue of SQS that takes messages of 256 KiB, as one of before 2025 does."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SQSHandler)
        self.bodies: list[str] = []


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[SQS]:
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with SQS() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_largest_message_of_several_events_is_small_enough_for_sqs(sqs: SQS) -> None:
    url = f"sqs://key:secret@127.0.0.1:{sqs.server_port}"
    transport = BrokerTransport(Config(api_key="dk_test", broker=url, timeout=10))
    half = b"x" * (message.MAX_BYTES // 2)
    assert transport.send_many([half, half]).status == 200
    assert len(sqs.bodies) == 1


def test_an_event_that_is_too_large_for_sqs_is_dropped_and_counted(sqs: SQS) -> None:
    url = f"sqs://key:secret@127.0.0.1:{sqs.server_port}"
    with Datalyr("dk_test", broker=url, timeout=10) as client:
        client.track("u", "large", {"text": "x" * 200_000})
        client.track("u", "small")
        assert not client.flush()
        assert client.stats.dropped == {"permanent_client_error": 1}
        assert (client.stats.delivered, client.stats.waiting) == (1, 0)
