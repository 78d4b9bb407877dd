"""A Redis server of a test's own, on a free port."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from redis import ConnectionError as NotThere
from redis import Redis

from tests.support.waiting import eventually


def redis_command() -> str | None:
    """Find the command; None where Redis is not installed."""
    return shutil.which("redis-server")


class RedisServer:
    """A server that can be killed and started again, at the same port.

    It forgets everything, unless it is durable.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        """Begin without a process."""
        self.url = ""
        self._keeping = ["--appendonly", "yes" if durable else "no", "--appendfsync", "always"]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def choose_port(self) -> None:
        """Choose a port, before there is a server."""
        self.url = _url(_free_port())

    def start(self) -> None:
        """Start it; once more if somebody took its port in the meantime, and none was chosen."""
        for _ in range(3):
            port = urlsplit(self.url).port or _free_port()
            self._process = self._begun(port)
            if self._process.poll() is None:
                self.url = _url(port)
                return
        raise RuntimeError(f"redis-server does not start (exit status {self._process.returncode})")

    def pause(self, *, go_on: bool = False) -> None:
        """Stop the server in the middle of whatever it does, or let it go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT if go_on else signal.SIGSTOP)

    def close(self) -> None:
        """End it."""
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process:
            self._process.kill()
            self._process.wait(30)

    def _begun(self, port: int) -> subprocess.Popen[bytes]:
        command = [str(redis_command()), "--port", str(port), "--bind", "127.0.0.1"]
        # Known to `kill` from here on, also if the wait for its first answer is interrupted.
        process = self._process = subprocess.Popen(
            [*command, "--save", "", *self._keeping, "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )
        eventually(lambda: process.poll() is not None or _answers(_url(port)), 60)
        return process


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Serve until the end of the block.

    Returns:
        The server's URL.
    """
    server = RedisServer(folder)
    try:
        server.start()
        yield server.url
    finally:
        server.kill()


def _url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


def _answers(url: str) -> bool:
    with Redis.from_url(url) as connection:
        try:
            return bool(connection.ping())
        except NotThere:
            return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
