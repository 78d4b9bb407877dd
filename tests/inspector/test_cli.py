from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import datalyr_core.inspector.server
from datalyr_core.cli import main

from .wire import eventually


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def is_up(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


@contextmanager
def interrupted_when_up(port: int) -> Iterator[list[str]]:
    """Press Ctrl+C as soon as the inspector answers; note the bound that its stream tells."""
    bounds: list[str] = []

    def press() -> None:
        try:
            eventually(lambda: is_up(port), timeout=20)
            bounds.append(first_data(port))
        finally:  # else it would serve for ever
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    yield bounds
    thread.join()


def first_data(port: int) -> str:
    url = f"http://127.0.0.1:{port}/api/stream"
    with httpx.Client(trust_env=False, timeout=30) as http, http.stream("GET", url) as response:
        return next(line for line in response.iter_lines() if line.startswith("data"))


def test_inspect_serves_until_ctrl_c(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with interrupted_when_up(port) as bounds:
        assert main(["inspect", "--port", str(port), "--no-open", "--max-events", "7"]) == 0
    assert bounds == ['data: {"max_events":7}']
    out, err = capsys.readouterr()
    assert out == (
        f"Datalyr inspector  http://127.0.0.1:{port}  (Ctrl+C stops it)\n"
        f'Point an SDK at it: Datalyr("dk_test", host="http://127.0.0.1:{port}/track")\n'
    )
    assert err == ""


def test_beyond_loopback_it_warns(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with interrupted_when_up(port):
        assert main(["inspect", "--host", "0.0.0.0", "--port", str(port)]) == 0
    assert capsys.readouterr().err == "Whoever can reach this address can read what arrives.\n"


@pytest.mark.parametrize(("options", "opened"), [([], True), (["--no-open"], False)])
def test_on_a_screen_it_opens_the_page(
    port: int, options: list[str], opened: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {note}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setenv("DISPLAY", ":7")
    # `webbrowser` reads BROWSER once for each process.
    monkeypatch.setattr("webbrowser._tryorder", None)
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, interrupted_when_up(port):
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["inspect", "--port", str(port), *options]) == 0
    os.close(ours)
    assert note.exists() is opened
    if opened:
        assert note.read_text().strip() == f"http://127.0.0.1:{port}"


def test_a_port_in_use_is_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["inspect", "--port", str(port)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        f"datalyr: cannot listen on 127.0.0.1 port {port}: Address already in use"
    )
    assert err.count("\n") == 1


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_extra_is_named(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # As in a process that has not imported the inspector; undone afterwards, attribute included.
    monkeypatch.setattr(datalyr_core, "inspector", datalyr_core.inspector)
    for name in [name for name in sys.modules if name.startswith(("datalyr_core.ins", missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["inspect"]) == 2
    err = capsys.readouterr().err
    assert err == f"datalyr: {missing} is missing: pip install 'datalyr[inspector]'\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["inspect", "--port", "x"], "'x' is not a port: 0 to 65535"),
        (["inspect", "--port", "65536"], "'65536' is not a port: 0 to 65535"),
        (["inspect", "--max-events", "0"], "'0' is not a whole number above 0"),
        (["inspect", "--max-events", "many"], "'many' is not a whole number above 0"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_python_m_ends_at_ctrl_c_also_with_an_open_stream() -> None:
    # A port that was free a moment ago may be taken by the time that another process listens.
    command = [sys.executable, "-W", "error", "-m", "datalyr_core", "inspect", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            greeting = str(process.stdout and process.stdout.readline(), "utf-8")
            url = f"{greeting.split()[2]}/api/stream"
            with (
                httpx.Client(trust_env=False, timeout=30) as http,
                http.stream("GET", url) as response,
            ):
                assert response.status_code == 200
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=30)
        finally:
            process.kill()  # else a failure would wait for its end
    assert greeting.startswith("Datalyr inspector  http://127.0.0.1:")
    assert (process.returncode, err) == (0, b"")
