"""What the relay does in its own way on Kafka, of which there is a mock within this process."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("kombu")

from datalyr_core.broker.intake import Source, body_of, opened
from tests.broker.test_others import kafka_cluster
from tests.support.relays import publish
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # a consumer takes its time to join its group


def test_what_is_acknowledged_is_no_message_that_is_held() -> None:
    cluster, url = kafka_cluster()
    source = Source(url, "test.events")
    publish(source, "one", "two")
    # Each is killed after it has acknowledged the last that it had.
    assert last_acknowledged(source).startswith(b'{"event":"one"')
    assert last_acknowledged(source).startswith(b'{"event":"two"')
    assert cluster is not None


def last_acknowledged(source: Source) -> bytes:
    """Take what there is, and acknowledge the last of it alone."""
    taken: list[Any] = []
    with opened(source) as intake:
        intake.consume(taken.append, lambda message, problem: None)
        assert eventually(lambda: intake.drain(0.1) or taken, 60)
        for _ in range(2):  # it would take more if it could
            intake.drain(0.1)
        taken[-1].ack()
    return body_of(taken[-1])
