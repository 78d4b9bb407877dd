"""Servers behind a Unix socket, as nginx has them: the peer has no address."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.ingest import IngestServer
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
APPS = "tests.live.apps.located"


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="datalyr") as folder:  # a socket's path is short
        yield Path(folder) / "socket"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "command",
    [
        ("gunicorn", f"{APPS}:make_flask()", "--bind", "unix:{path}"),
        ("uvicorn", f"{APPS}:make_starlette", "--factory", "--uds", "{path}"),
        ("hypercorn", f"{APPS}:make_starlette()", "--bind", "unix:{path}"),
    ],
    ids=lambda command: command[0],
)
def test_peer_has_no_address(
    path: Path, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DATALYR_API_KEY", "dk_test")
    monkeypatch.setenv("DATALYR_HOST", ingest.url)
    told = (each.format(path=path) for each in command)
    process = subprocess.Popen([sys.executable, "-m", *told], cwd=ROOT)
    try:
        assert eventually(lambda: listens(path), 60)
        event_id = ask(path)
    finally:
        process.terminate()
        process.wait(30)
    (event,) = ingest.accepted
    assert event["eventId"] == event_id
    assert event["properties"]["url"] == "http://shop.example/"
    assert "ip" not in event["properties"]


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as peer:
        return peer.connect_ex(str(path)) == 0


def ask(path: Path) -> str:
    """Ask for the page, which is the event's id."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=60) as browser:
        return browser.get("http://shop.example/").raise_for_status().text
