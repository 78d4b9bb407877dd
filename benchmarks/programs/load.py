"""A load generator: GET requests over connections that are kept, to a server on this machine.

It is one thread with an event loop, and reads no more of an answer than where it ends, so that
it takes little of the machine that it shares with the server.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks.programs.answering import Commands, answer

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE = 10.0  # seconds for an answer
COLD = 0.1  # seconds that do not count: connections, and caches that others have used


class Connection(asyncio.Protocol):
    """Send one request at a time."""

    def __init__(self, done: Callable[[Connection, float | None], None]) -> None:
        self._done = done
        self._got = b""
        self.is_open = True
        self.begun = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> None:
        self.begun = time.perf_counter()
        self._transport.write(request)

    def close(self) -> None:
        self.begun = 0.0
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if (end := self._got.find(b"\r\n\r\n")) < 0:
            return
        length = _LENGTH.search(self._got, 0, end + 2)
        if not length:  # where it ends is not known
            self._transport.abort()
        elif len(self._got) >= end + 4 + int(length[1]):
            fine, self._got = self._got.startswith(b"HTTP/1.1 200"), b""
            self._finish(fine)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._finish(False)

    def _finish(self, fine: bool) -> None:
        if begun := self.begun:
            self.begun = 0.0
            self._done(self, time.perf_counter() - begun if fine else None)


class Load:
    """Put one server under load."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self._idle: list[Connection] = []
        self._made: list[Connection] = []
        self.took: list[float] = []
        self.failed = 0
        self._count = 0
        self._all: asyncio.Event | None = None
        self._again: Callable[[Connection], None] | None = None

    async def at_rate(self, rate: float, seconds: float) -> dict[str, Any]:
        """Send at a rate, whatever becomes of it: the server's delay is no relief to it."""
        begun = time.perf_counter()
        count = int(rate * seconds)
        for number in range(count):
            if (ahead := begun + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            (await self._connection()).ask(self._request)
        await self._answered(count)
        self._close()
        counted = self.took[int(rate * COLD) :]
        return {"took": [seconds * 1e3 for seconds in counted], "failed": self.failed}

    async def saturated(self, connections: int, seconds: float) -> dict[str, float]:
        """Send as much as the server answers."""
        begun = time.perf_counter()

        def again(connection: Connection) -> None:
            if time.perf_counter() - begun < seconds:
                connection.ask(self._request)

        self._again = again
        for _ in range(connections):
            (await self._connection()).ask(self._request)
        await asyncio.sleep(seconds)
        self._close()
        return {"rate": len(self.took) / (time.perf_counter() - begun), "failed": self.failed}

    async def _connection(self) -> Connection:
        while self._idle:
            if (connection := self._idle.pop()).is_open:
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: Connection(self._done), "127.0.0.1", self._port
        )
        self._made.append(made)
        return made

    def _close(self) -> None:
        for connection in self._made:
            connection.close()

    def _done(self, connection: Connection, took: float | None) -> None:
        if took is not None:
            self.took.append(took)
            if self._again:
                self._again(connection)
                return
            self._idle.append(connection)
        else:
            self.failed += 1
        if self._all and len(self.took) + self.failed >= self._count:
            self._all.set()

    async def _answered(self, count: int) -> None:
        """Wait for what is under way; what has no answer then has failed."""
        self._count, self._all = count, asyncio.Event()
        if len(self.took) + self.failed < count:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all.wait(), PATIENCE)
        self.failed = count - len(self.took)


@contextmanager
def loading() -> Iterator[Commands]:
    yield {
        "at_rate": lambda port, *how: asyncio.run(Load(port).at_rate(*how)),
        "saturated": lambda port, *how: asyncio.run(Load(port).saturated(*how)),
    }


if __name__ == "__main__":
    answer(loading)
