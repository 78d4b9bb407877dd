"""Where a row takes place: an ingest that can be broken and mended."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.support.ingest import OK, Answer, IngestServer, Received

Greeting = Callable[[socket.socket], None]


@dataclass(frozen=True)
class DrippingBody(Answer):
    """Answer well, but for a body of which a byte comes now and then."""


class FaultyIngest(IngestServer):
    """An ingest whose listening, certificates and first bytes can be changed meanwhile."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.greeting: Greeting | None = None  # what new connections get in place of HTTP
        super().__init__(tls)

    def accept_again(self) -> None:
        """Listen where it has listened before `refuse`."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        self._start(self._accept)

    def show(self, tls: ssl.SSLContext) -> None:
        """Show another certificate, on new connections."""
        self._tls = tls
        self.close_idle()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait, until the ingest stops at most; tell whether it does."""
        return self._stopping.wait(seconds)

    def _talk(self, connection: socket.socket, number: int) -> None:
        with self._lock:  # over TLS it is another object than the one that was accepted
            self._open[number] = connection
        if self.greeting is None:
            super()._talk(connection, number)
            return
        with connection:
            self.greeting(connection)

    def _drip(self, connection: socket.socket, answer: Answer) -> None:
        if not isinstance(answer, DrippingBody):
            super()._drip(connection, answer)
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not self._stopping.wait(answer.drip):
            connection.sendall(b".")


class Site:
    """An ingest and the address under which a client knows it."""

    def __init__(self, ingest: FaultyIngest, host: str | None = None) -> None:
        self.ingest = ingest
        self.host = host or ingest.url

    @property
    def arrived(self) -> list[str]:
        """The ids of the events that the ingest took, as often as it took them."""
        return [body["eventId"] for body in self.ingest.accepted]


Breaking = Callable[[Site], AbstractContextManager[None]]


@contextmanager
def plain() -> Iterator[Site]:
    """Have an ingest over plain HTTP, at an address that needs no name."""
    with FaultyIngest() as ingest:
        yield Site(ingest)


def answering(answer: Answer | Callable[[Received], Answer]) -> Breaking:
    """Let the ingest give another answer."""

    @contextmanager
    def broken(site: Site) -> Iterator[None]:
        site.ingest.answer = answer
        yield
        site.ingest.answer = OK

    return broken


def taking(answer: Answer) -> Breaking:
    """Let the ingest take what comes, although its reply is not one of success."""

    @contextmanager
    def broken(site: Site) -> Iterator[None]:
        def take(request: Received) -> Answer:
            site.ingest.accepted.append(request.body)
            return answer

        with answering(take)(site):
            yield

    return broken


def greeting(greet: Callable[[Site, socket.socket], None]) -> Breaking:
    """Let every connection, kept ones too, end in something that is not HTTP."""

    @contextmanager
    def broken(site: Site) -> Iterator[None]:
        site.ingest.greeting = lambda connection: greet(site, connection)
        site.ingest.close_idle()
        yield
        site.ingest.greeting = None
        site.ingest.close_idle()

    return broken


def reset(connection: socket.socket) -> None:
    """Close a connection with a reset in place of an orderly end."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def fill(listener: socket.socket, waiting: list[socket.socket]) -> None:
    """Fill the queue of those who wait to be accepted: who comes later gets no answer."""
    for _ in range(64):
        client = socket.socket(listener.family)
        client.settimeout(0.3)
        waiting.append(client)
        try:
            client.connect(listener.getsockname())
        except TimeoutError:
            return
    raise OSError("the queue of this system's listeners has no end")


@contextmanager
def blackhole(address: str, port: int) -> Iterator[None]:
    """Answer nobody who connects to an address of this machine."""
    waiting: list[socket.socket] = []
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(0)
        try:
            fill(listener, waiting)
            yield
        finally:
            for client in waiting:
                client.close()


pause: Any = threading.Event().wait  # a pace for what is done again and again, not for a result
