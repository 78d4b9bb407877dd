"""A pytest plugin: real brokers, started by the first test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.support.rabbitmq import RabbitMQ, rabbitmq_command, rabbitmq_server


@dataclass(frozen=True)
class Broker:
    """A broker that is running, and the name of a queue that no other test has."""

    kind: str
    url: str
    queue: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests the time that RabbitMQ takes to start on a machine that has other work."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if {"rabbitmq", "broker", "mortal"} & set(names) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ server that all tests share: leave it running, and use queues of your own."""
    if not rabbitmq_command():
        pytest.skip("rabbitmq-server is not installed")
    with rabbitmq_server(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server that all tests share."""
    pytest.importorskip("redis")
    from tests.support.redis import redis_command, redis_server

    if not redis_command():
        pytest.skip("redis-server is not installed")
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Every broker in turn, with a queue of the test's own."""
    pytest.importorskip("kombu")
    server: Any = request.getfixturevalue("redis_url" if request.param == "redis" else "rabbitmq")
    return Broker(request.param, getattr(server, "url", server), f"test.{uuid4().hex}")
