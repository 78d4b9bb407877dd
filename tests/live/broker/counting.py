"""An ingest that only counts event ids, as quickly as it can."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from types import TracebackType
from typing import Self

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb'"eventId":"([^"]*)"')
_END = b"\r\n\r\n"
_OK = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"success":true}'


class CountingIngest:
    """Serve on 127.0.0.1, in a thread.

    Attributes:
        arrived: How often each event id came.
    """

    def __init__(self) -> None:
        self.arrived: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        serving = self._loop.create_server(lambda: _Connection(self.arrived), "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(serving, self._loop).result(10)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/track"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class _Connection(asyncio.Protocol):
    """Read requests, one after the other."""

    def __init__(self, arrived: Counter[str]) -> None:
        self._arrived = arrived
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(_END)) >= 0:
            length = _LENGTH.search(self._read, 0, end)
            whole = end + len(_END) + (int(length[1]) if length else 0)
            if len(self._read) < whole:
                return
            found = _ID.search(self._read, end, whole)
            assert found
            self._arrived[found[1].decode()] += 1
            self._read = self._read[whole:]
            self._transport.write(_OK)
