"""A uWSGI worker that gets a second signal while its exit delivers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.live.exit_matrix.rows import command
from tests.live.exit_matrix.stage import free_port
from tests.support.ingest import IngestServer, slow
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
UWSGI = command("uwsgi")
GRACEFUL = "unix_signal:15 gracefully_kill_them_all"


@pytest.mark.skipif(UWSGI is None, reason="needs uwsgi")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("lazy", [(), ("--lazy-apps",)], ids=["forked", "lazy-apps"])
@pytest.mark.parametrize(
    "second", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name
)
def test_second_signal_ends_no_delivery(
    lazy: tuple[str, ...],
    second: signal.Signals,
    ingest: IngestServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATALYR_API_KEY", "dk_test")
    monkeypatch.setenv("DATALYR_HOST", ingest.url)
    monkeypatch.setenv("DATALYR_EXIT_TIMEOUT", "30")
    port, pidfile = free_port(), tmp_path / "worker"
    ingest.answer = slow(0.5)
    server = subprocess.Popen(
        [
            *(str(UWSGI), "--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "1"),
            *("--enable-threads", "--single-interpreter", "--need-app", *lazy),
            *("--module", "tests.live.apps.located:make_flask()"),
            *("--hook-master-start", GRACEFUL),
            *("--hook-accepting", f"exec:echo $PPID > {pidfile}"),
        ],
        cwd=ROOT,
    )
    try:
        assert eventually(lambda: listens(port) and read(pidfile), 60)
        accepted = {httpx.get(f"http://127.0.0.1:{port}/").text for _ in range(5)}
        server.terminate()
        # Nothing is sent before the exit: what arrives is sent by it.
        assert eventually(lambda: ingest.requests, 60)
        os.kill(int(read(pidfile)), second)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()
    assert {event["eventId"] for event in ingest.accepted} == accepted


def listens(port: int) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


def read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
