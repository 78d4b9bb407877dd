"""A local ingest that takes every POST, whoever sends it, and answers after a time.

It counts requests and reads nothing of them: it is to be cheap, on the core that it may share
with what is measured. `python -m benchmarks.programs.sink SECONDS`.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks.programs.answering import Commands, answer

_BODY = b'{"success":true,"status":1}'
_REPLY = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b") % (
    len(_BODY),
    _BODY,
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Requests:
    """Find the ends of requests in what comes over one connection.

    Attributes:
        seen: The requests of all connections.
    """

    seen = 0

    def __init__(self) -> None:
        self._waiting = b""

    def ended(self, data: bytes) -> int:
        """Return how many requests have ended with these bytes."""
        self._waiting += data
        count = 0
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._waiting, 0, end + 2)
            end += 4 + (int(length[1]) if length else 0)
            if len(self._waiting) < end:
                break
            self._waiting = self._waiting[end:]
            count += 1
        Requests.seen += count
        return count


class Prompt(asyncio.Protocol):
    """Answer at once."""

    def __init__(self) -> None:
        self._requests = Requests()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(self._requests.ended(data)):
            self._transport.write(_REPLY)


def _prompt() -> tuple[int, Callable[[], object]]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Prompt, "127.0.0.1", 0, backlog=512))
    return server.sockets[0].getsockname()[1], loop.run_forever


def _late(delay: float) -> tuple[int, Callable[[], object]]:
    """Answer after a time; a thread for each connection, as a loop would wait for whole ms."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def serve(connection: socket.socket) -> None:
        requests = Requests()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, suppress(OSError):  # the client may end first
            while data := connection.recv(65536):
                for _ in range(requests.ended(data)):
                    time.sleep(delay)
                    connection.sendall(_REPLY)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    return listener.getsockname()[1], accept


@contextmanager
def serving(delay: float) -> Iterator[Commands]:
    """Serve in a thread of its own, which ends with the process."""
    port, serve = _late(delay) if delay else _prompt()
    threading.Thread(target=serve, daemon=True).start()
    yield {"port": lambda: port, "requests": lambda: Requests.seen}


if __name__ == "__main__":
    answer(lambda: serving(float(sys.argv[1])))
