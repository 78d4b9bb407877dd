"""A local ingest that takes every POST, whoever sends it, and answers after a time.

It counts requests and reads nothing of them: it is to be cheap, on the core that it shares
with what is measured. `python -m benchmarks.programs.sink SECONDS`.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.programs.answering import Commands, answer

_BODY = b'{"success":true,"status":1}'
_REPLY = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b") % (
    len(_BODY),
    _BODY,
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Sink(asyncio.Protocol):
    """Serve one connection."""

    requests = 0  # of all connections
    connections = 0

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._waiting = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        Sink.connections += 1

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._waiting, 0, end + 2)
            end += 4 + (int(length[1]) if length else 0)
            if len(self._waiting) < end:
                return
            self._waiting = self._waiting[end:]
            Sink.requests += 1
            if self._delay:
                asyncio.get_running_loop().call_later(self._delay, self._reply)
            else:
                self._reply()

    def _reply(self) -> None:
        self._transport.write(_REPLY)


@contextmanager
def serving(delay: float) -> Iterator[Commands]:
    """Serve in a thread of its own, which ends with the process."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        loop.create_server(lambda: Sink(delay), "127.0.0.1", 0, backlog=512)
    )
    port = server.sockets[0].getsockname()[1]
    threading.Thread(target=loop.run_forever, daemon=True).start()
    yield {
        "port": lambda: port,
        "counts": lambda: {"requests": Sink.requests, "connections": Sink.connections},
    }


if __name__ == "__main__":
    answer(lambda: serving(float(sys.argv[1])))
