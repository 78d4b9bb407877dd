"""uWSGI before 2.0.27 runs no thread between requests, unless a flag says so."""

from __future__ import annotations

import logging
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from datalyr_core import uwsgi_threads
from tests.conftest import MakeClient


@pytest.fixture
def old_uwsgi(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stand in for the module that the server itself puts there."""
    server = SimpleNamespace(opt={"module": b"app"}, version=b"2.0.26")
    monkeypatch.setitem(sys.modules, "uwsgi", server)
    monkeypatch.setattr("datalyr_core.warn_once._given", set())
    return server


@pytest.mark.parametrize(
    ("version", "opt", "off"),
    [
        (b"2.0.26", {}, True),
        (b"1.9", {}, True),
        (b"2.0.26", {"enable-threads": True}, False),
        (b"2.0.26", {"enable-threads": b"true"}, False),
        (b"2.0.26", {"enable-threads": b"false"}, True),
        (b"2.0.26", {"threads": b"2"}, False),
        (b"2.0.27", {}, False),
        (b"2.0.31", {}, False),
        (b"2.1", {}, False),
        (b"2.0.dev0", {}, False),
    ],
)
def test_when_threads_are_off(
    old_uwsgi: SimpleNamespace, version: bytes, opt: dict[str, Any], off: bool
) -> None:
    old_uwsgi.version, old_uwsgi.opt = version, opt
    assert uwsgi_threads.are_off() is off


def test_other_servers_have_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not uwsgi_threads.are_off()
    monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace())  # some module of that name
    assert not uwsgi_threads.are_off()


def test_the_flag_is_named_once(
    old_uwsgi: SimpleNamespace, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "datalyr"):
        for key in ("dk_one", "dk_two"):
            client = make_client(api_key=key)
            assert caplog.text.count("--enable-threads") == (key == "dk_two")
            client.track("u", "E")
    assert caplog.text.count("--enable-threads") == 1


def test_the_warning_is_written_without_a_lock(
    old_uwsgi: SimpleNamespace, make_client: MakeClient
) -> None:
    """A handler of the log has a lock of its own, and may track while it holds that."""
    holds, warns = threading.Event(), threading.Event()
    client = make_client()

    class Tracking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == "app":
                holds.set()
                assert warns.wait(20)
                client.track("u", "from the handler")

    def notice(record: logging.LogRecord) -> bool:
        warns.set()
        return True

    handler, ours = Tracking(), logging.getLogger("datalyr")
    logging.getLogger().addHandler(handler)
    ours.addFilter(notice)
    try:
        first = threading.Thread(target=logging.getLogger("app").warning, args=("x",), daemon=True)
        first.start()
        assert holds.wait(20)
        second = threading.Thread(target=client.track, args=("u", "E"), daemon=True)
        second.start()
        for thread in (first, second):
            thread.join(20)
            assert not thread.is_alive()
    finally:
        ours.removeFilter(notice)
        logging.getLogger().removeHandler(handler)
    assert client.flush()
    assert client.stats.delivered == 2
