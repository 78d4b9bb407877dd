from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from datalyr_core.inspector import server
from datalyr_core.inspector.app import create_app
from datalyr_core.inspector.bell import Bell
from datalyr_core.inspector.server import ListenError, Server, listen, make_server, running


class Stuck(Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.should_exit = True


def test_it_serves_until_the_block_ends() -> None:
    with running() as inspector:
        assert inspector.track_url == f"{inspector.url}/track"
        assert httpx.get(f"{inspector.url}/api/health", trust_env=False).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{inspector.url}/api/health", trust_env=False)
    assert "datalyr-inspector" not in [thread.name for thread in threading.enumerate()]


def test_stopping_twice_is_harmless() -> None:
    with running() as inspector:
        inspector.stop()
        inspector.stop()


def test_it_serves_ipv6() -> None:
    with running(host="::1") as inspector:
        assert inspector.url.startswith("http://[::1]:")
        assert httpx.get(f"{inspector.url}/api/health", trust_env=False).status_code == 200


def test_a_port_in_use_is_one_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as refused:
            listen("127.0.0.1", port)
    assert str(refused.value) == (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use. "
        "Stop what uses it, or choose another with --host and --port."
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 70, ""])
def test_an_address_that_is_not_here(host: str) -> None:
    with pytest.raises(ListenError, match=rf"^cannot listen on {host} port 0: \S"):
        listen(host, 0)


def test_a_server_that_does_not_start_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "START_TIMEOUT", 0.01)
    with listen("127.0.0.1", 0) as listener:
        inspector = server.RunningInspector(
            Stuck(make_server(create_app()).config, Bell()), listener
        )
        with pytest.raises(TimeoutError, match="did not start"):
            inspector.start()
        inspector.stop()


def test_reading_the_wire_needs_no_web_framework() -> None:
    script = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = None\n"
        "import datalyr_core.cli, datalyr_core.inspector.contract, datalyr_core.inspector.store"
    )
    run_alone(script)


def test_it_uses_nothing_else_of_the_suite() -> None:
    script = (
        "import sys, datalyr_core\n"
        "before = set(sys.modules)\n"
        "import datalyr_core.inspector.server\n"
        "ours = {name for name in set(sys.modules) - before if name.startswith('datalyr')}\n"
        "assert all(name.startswith('datalyr_core.inspector') for name in ours), ours"
    )
    run_alone(script)


def run_alone(script: str) -> None:
    command = [sys.executable, "-W", "error", "-c", script]
    subprocess.run(command, check=True)


def test_answers_on_a_kept_alive_connection_come_at_once() -> None:
    with running() as inspector, httpx.Client(base_url=inspector.url, trust_env=False) as http:
        start = time.monotonic()
        for _ in range(25):
            http.post("/track", content=b"{}")
        # Without TCP_NODELAY it is 40 ms for each: a second.
        assert time.monotonic() - start < 0.75
