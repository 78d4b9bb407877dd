from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from datalyr_core import Datalyr, current_tracker
from tests.support.ingest import IngestServer
from tests.support.scripts import Scripts
from tests.support.signals import restore_interrupt
from tests.support.waiting import eventually

# Not by pytest-django's setting in pyproject.toml, which nobody would know in a run without
# Django. Before other conftests are imported, some of which import models.
if find_spec("django"):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.settings")
    import django

    django.setup()

pytest_plugins = ["tests.support.brokers", "tests.support.optional"]

MakeClient = Callable[..., Datalyr]

# How long an example takes is a matter of the machine, which may have other things to do.
settings.register_profile("datalyr", deadline=None)
settings.load_profile("datalyr")


def pytest_sessionstart() -> None:
    restore_interrupt()  # for the programs that tests start and interrupt


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    """Fail a test that leaves a thread, a tracker or a signal handler behind."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    assert current_tracker() is None
    assert signal.getsignal(signal.SIGTERM) == handler, "SIGTERM's handler was not given back"
    assert eventually(lambda: not _threads_of_closed_clients(), 5), _threads_of_closed_clients()


def _threads_of_closed_clients() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if _belongs_to_closed_client(thread)]


def _belongs_to_closed_client(thread: threading.Thread) -> bool:
    # A thread knows what it runs: a sender, which knows whether it was stopped.
    sender = getattr(getattr(thread, "_target", None), "__self__", None)
    return thread.name == "datalyr-sender" and getattr(sender, "_stopping", True)


@pytest.fixture
def ingest() -> Iterator[IngestServer]:
    with IngestServer() as server:
        yield server


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> str:
    """The engine of clients that name none; see `tests.support.engines`."""
    return str(getattr(request, "param", "httpx"))


@pytest.fixture
def make_client(ingest: IngestServer, transport: str) -> Iterator[MakeClient]:
    """Make clients of the local ingest, and close them after the test."""
    made: list[Datalyr] = []

    def make(**options: Any) -> Datalyr:
        usual = {"api_key": "dk_test", "host": ingest.url, "transport": transport}
        client = Datalyr(**{**usual, **options})
        made.append(client)
        return client

    yield make
    for client in made:
        client.close(timeout=0)  # also one that another thread closed: SIGTERM is given back here


@pytest.fixture
def scripts(tmp_path: Path, ingest: IngestServer) -> Scripts:
    """Run programs whose clients, made with `Datalyr.from_env()`, send to the local ingest."""
    return Scripts(tmp_path, ingest.url)


@pytest.fixture
def no_hosts_without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment of this machine keep no host from the proxy that a test names."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
