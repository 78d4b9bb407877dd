"""A broker in place of the ingest."""

from __future__ import annotations

import pytest

from tests.doctor.conftest import Doctor
from tests.support.brokers import Broker

pytest.importorskip("kombu")


def test_a_broker_that_answers(doctor: Doctor, broker: Broker) -> None:
    told = doctor("--timeout", "30", DATALYR_BROKER=broker.url, DATALYR_BROKER_QUEUE=broker.queue)
    found = told.one("broker")
    assert found["level"] == "ok"
    assert " answers in " in found["seen"]
    assert found["seen"].endswith(f"its queue is {broker.queue}")
    assert "guest:" not in found["seen"]
    assert told.one("probe")["level"] == "skipped"
    assert told.of("tcp") == []
    assert told.code == 0


@pytest.mark.parametrize("url", ["redis://:hush@127.0.0.1:1/0", "amqp://u:hush@127.0.0.1:1//"])
def test_a_broker_that_is_not_there(doctor: Doctor, url: str) -> None:
    told = doctor(DATALYR_BROKER=url)
    found = told.one("broker")
    assert (told.code, found["level"]) == (1, "error")
    assert "refused" in found["seen"]
    assert found["todo"].startswith("Check that it runs, its address")
    assert "hush" not in str(found)


def test_a_broker_that_refuses(doctor: Doctor, broker: Broker) -> None:
    if broker.kind != "rabbitmq":
        pytest.skip("Redis asks for no password here")
    told = doctor("--timeout", "30", DATALYR_BROKER=broker.url.replace("guest:guest", "u:hush"))
    assert told.one("broker")["todo"].startswith("Check the user and the password of broker")
    assert "hush" not in str(told.one("broker"))
