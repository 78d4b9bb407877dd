"""A local ingest on real sockets that does as it is told, also what a good one never does."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

_REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 503: "Service Unavailable"}


@dataclass(frozen=True)
class Received:
    """One request, as it came."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    raw: bytes
    at: float  # on the monotonic clock
    connection: int  # which connection it came on, counted from 1

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass(frozen=True)
class Answer:
    """What to do with a request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"success":true}'
    delay: float = 0.0  # seconds before anything is answered
    raw: bytes | None = None  # sent in place of a reply that is HTTP
    stays: bool = False  # keep the connection, whatever was sent in place of a reply
    cut: int | None = None  # bytes of the reply that are sent before the connection is reset
    silent: bool = False  # take the request and never answer
    drip: float = 0.0  # seconds between one byte of the reply and the next

    def encoded(self) -> bytes:
        if self.raw is not None:
            return self.raw
        reason = _REASONS.get(self.status, "Whatever")
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} {reason}\r\n{lines}\r\n".encode() + self.body


OK = Answer()
DOWN = Answer(503, body=b"down")
RESET = Answer(cut=0)
CUT_SHORT = Answer(cut=20)
GARBAGE = Answer(raw=b"\x16\x03\x01 this is not HTTP\r\n\r\n")
SILENCE = Answer(silent=True)
HUGE = Answer(body=b"x" * 10_000_000)


def slow(seconds: float) -> Answer:
    return Answer(delay=seconds)


class IngestServer:
    """Serve on 127.0.0.1; every request is recorded before it is answered.

    Attributes:
        requests: What came, in order.
        answer: What to do with requests, once `script` is used up: an `Answer`, or a
            callable that gives one for a `Received`.
        script: Answers for the next requests, one each.
        in_flight, most_in_flight: Requests that are being answered, now and at most.
        connections: How many were made.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.requests: list[Received] = []
        self.accepted: list[Any] = []  # the bodies that were answered with 2xx
        self.answer: Answer | Callable[[Received], Answer] = OK
        self.script: deque[Answer] = deque()
        self.in_flight = self.most_in_flight = self.connections = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/track"

    @property
    def names(self) -> list[str]:
        """The names of the events that were taken, in order."""
        return [body["event"] for body in self.accepted]

    def close_idle(self) -> None:
        """Close every connection, as a server does after its keep-alive time."""
        with self._lock:
            connections, self._open = self._open, {}
        for connection in connections.values():
            _shut(connection)

    def refuse(self) -> None:
        """Accept no connections any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def stop(self) -> None:
        self._stopping.set()
        self.refuse()
        self.close_idle()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, name="test-ingest", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                number = self.connections
                self._open[number] = connection
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError, EOFError), connection:
            self._talk(self._secured(connection), number)
        with self._lock:
            self._open.pop(number, None)

    def _secured(self, connection: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(connection, server_side=True) if self._tls else connection

    def _talk(self, connection: socket.socket, number: int) -> None:
        with connection, connection.makefile("rb") as stream:
            while True:
                request = _read(stream, number)
                with self._counted(request) as answer:
                    if answer.silent or self._stopping.wait(answer.delay):
                        self._stopping.wait()
                        return
                    if 200 <= answer.status < 300 and answer.cut is None and answer.raw is None:
                        self.accepted.append(request.body)
                    self._drip(connection, answer)
                    _send(connection, answer)

    def _drip(self, connection: socket.socket, answer: Answer) -> None:
        if answer.drip:  # a header that never ends, until the client has had enough
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self._stopping.wait(answer.drip):
                connection.sendall(b".")

    @contextmanager
    def _counted(self, request: Received) -> Iterator[Answer]:
        with self._lock:
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            answer = self.script.popleft() if self.script else self.answer
        try:
            yield answer(request) if callable(answer) else answer
        finally:
            with self._lock:
                self.in_flight -= 1


def _read(stream: Any, number: int) -> Received:
    first = stream.readline()
    if first.count(b" ") < 2:  # nothing, or what a client that was killed had begun to write
        raise EOFError
    method, path, _ = first.decode().split(" ", 2)
    if method != "POST":  # a stranger, who knew this port under its last owner
        raise EOFError
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    raw = stream.read(length)
    if len(raw) < length:  # the client was killed meanwhile
        raise EOFError
    return Received(method, path, headers, raw, time.monotonic(), number)


def _send(connection: socket.socket, answer: Answer) -> None:
    connection.sendall(answer.encoded()[: answer.cut])
    if answer.cut is not None:
        # Linger of zero: closing sends a reset in place of an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        raise EOFError
    if answer.raw is not None and not answer.stays:
        raise EOFError


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
