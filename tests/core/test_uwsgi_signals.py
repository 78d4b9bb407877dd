"""uWSGI's answer to a second signal is a second `exit`: during our delivery nobody hears it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from datalyr_core import Reply, uwsgi_signals
from datalyr_core.uwsgi_signals import ENDING
from tests.conftest import MakeClient
from tests.core.test_exit_signals import NAG
from tests.support.ingest import IngestServer, slow
from tests.support.scripts import Scripts

# What the server itself puts there. Its handlers are C's: a default action stands in for them.
UWSGI = "from types import SimpleNamespace\nsys.modules['uwsgi'] = SimpleNamespace(opt={})\n"


@pytest.fixture
def uwsgi(monkeypatch: pytest.MonkeyPatch) -> None:
    server = SimpleNamespace(opt={"module": b"app"}, version=b"2.0.31")
    monkeypatch.setitem(sys.modules, "uwsgi", server)


@pytest.fixture
def handlers() -> Iterator[list[object]]:
    """Tell the handlers before the test, and give them back after it."""
    before = [signal.getsignal(number) for number in ENDING]
    yield list(before)
    for number, handler in zip(ENDING, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_no_signal_ends_a_delivery(
    number: signal.Signals, scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.4)
    reset = f"signal.signal({number:d}, signal.SIG_DFL)\n"
    ended = scripts.run(f"{NAG}{UWSGI}{reset}nagged({number:d})\n")
    # Python can give no handler of C's back: it is ours to the end, of which little is left.
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "delivered 1\nhandler kept False\n"


@pytest.mark.usefixtures("uwsgi")
def test_signals_are_swallowed(handlers: list[object]) -> None:
    assert uwsgi_signals.swallow()
    for number, before in zip(ENDING, handlers, strict=True):
        assert signal.getsignal(number) is not before
        os.kill(os.getpid(), number)


def test_other_servers_keep_theirs(handlers: list[object]) -> None:
    assert not uwsgi_signals.swallow()
    assert [signal.getsignal(number) for number in ENDING] == handlers


class Watching:
    """A transport that looks which signals its thread does not take."""

    def __init__(self) -> None:
        self.blocked: set[int] = set()

    def send(self, body: bytes) -> Reply:
        self.blocked |= signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return Reply(200)


@pytest.mark.usefixtures("uwsgi")
def test_sender_takes_no_signal(make_client: MakeClient) -> None:
    transport = Watching()
    client = make_client(transport=transport)
    client.track("u", "E")
    assert client.flush()
    assert transport.blocked >= set(ENDING)


def test_sender_takes_signals_elsewhere(make_client: MakeClient) -> None:
    transport = Watching()
    client = make_client(transport=transport)
    client.track("u", "E")
    assert client.flush()
    assert transport.blocked.isdisjoint(ENDING)
