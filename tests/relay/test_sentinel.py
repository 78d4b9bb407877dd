"""A Redis that is found by asking Sentinels."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("kombu")
pytest.importorskip("redis")

from datalyr_core import Datalyr
from datalyr_core.broker.intake import Source
from tests.relay.conftest import MakeRelay
from tests.support.ingest import IngestServer
from tests.support.redis import RedisServer, redis_command
from tests.support.waiting import eventually


@pytest.fixture(params=[("mymaster", ""), ("shop", "?master_name=shop")])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Source]:
    """A Redis, and a Sentinel that has a name for it."""
    if not redis_command():
        pytest.skip("redis-server is not installed")
    name, query = request.param
    server = RedisServer(tmp_path)
    server.start()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = tmp_path / "sentinel.conf"
    master = server.url.rpartition(":")[2].partition("/")[0]
    settings.write_text(f"port {port}\nsentinel monitor {name} 127.0.0.1 {master} 1\n")
    command = [str(redis_command()), str(settings), "--sentinel"]
    sentinel = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        assert eventually(lambda: _listens(port), 60)
        yield Source(f"sentinel://127.0.0.1:{port}{query}", "test.events")
    finally:
        sentinel.kill()
        sentinel.wait(30)
        server.kill()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def test_the_name_of_the_master_is_in_the_url_or_the_usual_one(
    source: Source, make_relay: MakeRelay, ingest: IngestServer
) -> None:
    with Datalyr("dk_test", broker=source.url, broker_queue=source.queue, timeout=10) as client:
        client.track("u", "E")
        assert client.flush()
    relay = make_relay()
    assert eventually(lambda: ingest.names == ["E"], 30)
    assert eventually(lambda: relay.status()["held_messages"] == 0, 30)
    assert relay.problems() == []
