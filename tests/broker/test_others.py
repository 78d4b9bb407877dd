"""Kafka and SQS, as far as they can be had on one machine."""

from __future__ import annotations

import time
from typing import Any

import pytest

from datalyr_core import Config, Datalyr
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


def test_an_sqs_that_hangs_takes_no_longer_than_it_may(hanging: int) -> None:
    pytest.importorskip("boto3")
    url = f"sqs://key:hush@127.0.0.1:{hanging}"
    transport = BrokerTransport(Config(api_key="dk_test", broker=url, timeout=1))
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="Read timeout") as told:
        transport.send_many([b"{}"])
    assert time.monotonic() - begun < 15
    assert "hush" not in str(told.value)
