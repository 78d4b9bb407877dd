"""An ingest that keeps what arrives and has the faults that the plan gives it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from types import TracebackType
from typing import Any, NamedTuple, Self

FLAP = 0.7  # seconds of being well, and of being ill
SLOW = 0.4  # seconds that an answer takes
LISTEN_TRIES = 100
PATIENCE = 1.0  # seconds within which an answer surely reaches a client that waits for 3


class Arrival(NamedTuple):
    """An event that the ingest took, once for each time that it came."""

    token: str
    event_id: str
    visitor: str
    user: str | None
    mirror: str  # the visitor again, as the properties have it
    timestamp: str
    at: float  # on the monotonic clock
    answered: bool  # whether the sender must know


@dataclass(frozen=True)
class Fate:
    """What becomes of one request: whether the event is taken, and what is answered, if at all."""

    taken: bool = True
    status: int = 200
    headers: str = ""
    delay: float = 0.0
    answered: bool = True


Handler = Callable[[int], Fate]  # of the number of the request


def _limited(number: int) -> Fate:
    later = time.time() + 2
    asks = (
        "Retry-After: 1\r\n",
        f"Retry-After: {formatdate(later, usegmt=True)}\r\n",
        f"X-RateLimit-Reset: {later:.0f}\r\n",
        "",
    )
    return Fate(taken=False, status=429, headers=asks[number % len(asks)])


def _flapping(number: int) -> Fate:
    well = int(time.monotonic() / FLAP) % 2
    return Fate() if well else Fate(taken=False, status=503)


FATES: dict[str, Handler] = {
    "": lambda number: Fate(),
    "refuse": lambda number: Fate(taken=False, answered=False),
    "reset": lambda number: Fate(taken=bool(number % 2), answered=False),
    "hang": lambda number: Fate(taken=bool(number % 2), answered=False, delay=60),
    "limit": _limited,
    "fail": lambda number: Fate(taken=False, status=503 if number % 2 else 500),
    "slow": lambda number: Fate(delay=SLOW),
    "flap": _flapping,
    "reject": lambda number: Fate(taken=False, status=400) if number % 2 else Fate(),
}


class Ingest:
    """Serve on 127.0.0.1, in a thread with an event loop.

    Attributes:
        arrivals: What was taken, in order.
        requests: How many requests came under each fault; "" is none.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.requests: dict[str, int] = dict.fromkeys(FATES, 0)
        self._fault = ""
        self._serving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._listener: asyncio.Server | None = None
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever, name="soak-ingest")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/track"

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def fault(self, name: str) -> None:
        """Begin a fault, by its name in the plan; "" ends it."""
        self._do(self._change(name))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        """Listen, also if a connection of somebody's has got the port for a moment."""
        for _ in range(LISTEN_TRIES):
            with suppress(OSError):
                self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"port {self.port} is taken")

    async def _change(self, name: str) -> None:
        before, self._fault = self._fault, name
        if name == "refuse" and self._listener:
            self._listener.close()
            self._listener = None
        if before == "refuse" and name != before:
            await self._listen()
        if name == "refuse" or before == "hang":
            self._hang_up()  # what waits for an answer gets none any more

    async def _stop(self) -> None:
        if self._listener:
            self._listener.close()
        self._hang_up()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _hang_up(self) -> None:
        for task in self._serving:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        taken: list[int] = []  # where the arrival of this connection's last request is, if any
        try:
            with suppress(OSError, EOFError):
                while await self._exchange(reader, writer, taken):
                    pass
        except asyncio.CancelledError:
            self._doubt(taken)
        finally:
            self._serving.discard(task)
            _reset(writer)

    def _doubt(self, taken: list[int]) -> None:
        """Take back that the last answer of a connection is known, which is now reset.

        A reset throws away what has arrived and was not read yet.
        """
        for index in taken:
            last = self.arrivals[index]
            if time.monotonic() - last.at < PATIENCE:
                self.arrivals[index] = last._replace(answered=False)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, taken: list[int]
    ) -> bool:
        """Take a request and do as its fate says; False if the connection is to end."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        came = time.monotonic()
        taken.clear()  # whoever asks again has read the answer of before
        self.requests[self._fault] += 1
        fate = FATES[self._fault](self.requests[self._fault])
        answered = False
        try:
            await asyncio.sleep(fate.delay)
            if fate.answered:
                writer.write(_answer(fate))
                await writer.drain()
                answered = time.monotonic() - came < PATIENCE
        finally:
            if fate.taken:
                taken.append(len(self.arrivals))
                self._take(body, answered=answered)
        return fate.answered

    def _take(self, body: bytes, *, answered: bool) -> None:
        event = json.loads(body)
        properties = event["properties"]
        self.arrivals.append(
            Arrival(
                properties.get("token", ""),
                event["eventId"],
                event["anonymousId"],
                event.get("userId"),
                properties["anonymous_id"],
                event["timestamp"],
                time.monotonic(),
                answered,
            )
        )


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise EOFError


def _answer(fate: Fate) -> bytes:
    body = '{"success":true}' if fate.status == 200 else '{"error":"as the plan says"}'
    date = f"Date: {formatdate(usegmt=True)}\r\n"
    length = f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {fate.status} Told\r\n{date}{length}{fate.headers}\r\n{body}".encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset in place of an orderly end."""
    linger = struct.pack("ii", 1, 0)
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
