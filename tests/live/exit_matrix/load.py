"""Clients of a server: some that ask all the time, and a few that wait for a slow view."""

from __future__ import annotations

import http.client
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

THREADS = 4
KEPT = 20  # requests on one connection; new ones also reach other workers


class Load:
    """Ask a server until it is stopped, on kept connections, over restarts of the server."""

    def __init__(self, port: int, prefix: str) -> None:
        self._port, self._prefix = port, prefix
        self._stopped = threading.Event()
        self._pause = 0.0
        self._threads: list[threading.Thread] = []

    def ask(self, path: str) -> str | None:
        """Ask once; None if there is no good answer."""
        connection = self._connection()
        try:
            return _answer(connection, self._prefix + path)
        finally:
            connection.close()

    def ask_in_background(self, path: str) -> None:
        """Ask once, in a thread of its own."""
        self._start(lambda: self.ask(path))

    def begin(self) -> None:
        """Start asking."""
        for _ in range(THREADS):
            self._start(self._always)

    def slow_down(self) -> None:
        """Ask on, but leave the machine some air: an end may take long."""
        self._pause = 0.02

    def stop(self) -> None:
        """Stop, and wait for the last answers."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _start(self, run: Callable[[], object]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _always(self) -> None:
        connection = self._connection()
        for number in itertools.count(1):
            answer = _answer(connection, self._prefix + "/track")
            if answer is None or number % KEPT == 0:
                connection.close()
            # Where nobody listens, that may be only for a moment.
            if self._stopped.wait(self._pause if answer else 0.02):
                break
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)


def _answer(connection: http.client.HTTPConnection, path: str) -> str | None:
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        text = reply.read().decode()
    except (OSError, http.client.HTTPException):
        connection.close()
        return None
    return text if reply.status == 200 else None


@contextmanager
def load(port: int, prefix: str) -> Iterator[Load]:
    """Make clients of a server that end with the block."""
    made = Load(port, prefix)
    try:
        yield made
    finally:
        made.stop()
