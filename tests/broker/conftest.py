from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datalyr_core import Datalyr
from tests.support.brokers import Broker
from tests.support.rabbitmq import RabbitMQ, rabbitmq_command

Publishing = Callable[..., Datalyr]


@pytest.fixture
def publishing(broker: Broker) -> Iterator[Publishing]:
    """Make clients that publish to a broker that is well, and close them after the test."""
    made: list[Datalyr] = []

    def make(**options: Any) -> Datalyr:
        own = {"api_key": "dk_test", "broker": broker.url, "broker_queue": broker.queue}
        client = Datalyr(**{**own, "timeout": 20, "flush_interval": 3600, **options})
        made.append(client)
        return client

    yield make
    for client in made:
        client.close(timeout=0)


@pytest.fixture(params=["redis", "rabbitmq"])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A broker of the test's own, not started yet, which it may kill and start again."""
    pytest.importorskip("kombu")
    if request.param == "redis":
        redis = pytest.importorskip("tests.support.redis")
        if not redis.redis_command():
            pytest.skip("redis-server is not installed")
        server: Any = redis.RedisServer(tmp_path)
        server.choose_port()
    else:
        if not rabbitmq_command():
            pytest.skip("rabbitmq-server is not installed")
        server = RabbitMQ(tmp_path)
    server.kind = request.param
    yield server
    server.close()


@pytest.fixture
def hanging() -> Iterator[int]:
    """The port of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(params=["redis://127.0.0.1:{}/0", "amqp://guest:guest@127.0.0.1:{}//"])
def hanging_url(request: pytest.FixtureRequest, hanging: int) -> str:
    return str(request.param.format(hanging))
