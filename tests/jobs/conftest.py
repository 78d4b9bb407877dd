from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.ingest import IngestServer
from tests.support.redis import redis_command, redis_server
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def nothing_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin each test as a process begins: no warning has been given."""
    monkeypatch.setattr("datalyr_core.warn_once._given", set())


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of this module's own."""
    if redis_command() is None:
        pytest.skip("redis-server is not installed")
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


WAIT = 60  # seconds, for whatever a worker does on a busy machine


class Arrived:
    """What the workers' events are, by name; every test has names of its own."""

    def __init__(self, server: IngestServer) -> None:
        self.url = server.url
        self._server = server

    def named(self, name: str) -> list[Any]:
        return [body for body in list(self._server.accepted) if body["event"] == name]

    def wait(self, name: str, count: int = 1) -> list[Any]:
        """Wait for the events of a name, in the order in which they came."""
        assert eventually(lambda: len(self.named(name)) >= count, WAIT), self._server.names
        return self.named(name)

    def one(self, name: str) -> Any:
        (body,) = self.wait(name)
        return body


@pytest.fixture(scope="module")
def arrived() -> Iterator[Arrived]:
    with IngestServer() as server:
        yield Arrived(server)


@contextmanager
def worker(
    *command: str, broker: str, ingest: str, log: Path, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker whose client, made from the environment, sends to an ingest."""
    given = {"api_key": "dk_test", "host": ingest, "flush_at": 1, **options}
    variables = {f"DATALYR_{name.upper()}": str(value) for name, value in given.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, "TEST_BROKER": broker, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):  # whatever outlived it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
