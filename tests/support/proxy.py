"""An HTTP proxy for tunnels (RFC 9110, 9.3.6) that leads every name to this machine."""

from __future__ import annotations

import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self


class TunnelProxy:
    """Serve on 127.0.0.1, and lead every tunnel to one port there.

    Attributes:
        requests: The first line and the headers of each request for a tunnel.
    """

    def __init__(self, port: int) -> None:
        self.requests: list[str] = []
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(connection,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        head = _read_head(client)
        if head is None:
            client.close()
            return
        self.requests.append(head.decode())
        server = socket.create_connection(("127.0.0.1", self._target))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_carry, args=(server, client), daemon=True).start()
        _carry(client, server)


class SecureProxy(TunnelProxy):
    """Speak TLS with the client, who then speaks it with the ingest through that."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(port)

    def _tunnel(self, client: socket.socket) -> None:
        with suppress(OSError), self._context.wrap_socket(client, server_side=True) as secured:
            head = _read_head(secured) or b""
            self.requests.append(head.decode())
            secured.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                # In one thread: two may not use a connection over TLS at once.
                while True:
                    ends = (
                        [secured]
                        if secured.pending()
                        else select.select([secured, server], [], [])[0]
                    )
                    for end in ends:
                        if not (chunk := end.recv(65_536)):
                            return
                        (server if end is secured else secured).sendall(chunk)


class SocksProxy(TunnelProxy):
    """Speak SOCKS 5 (RFC 1928) in place of HTTP."""

    def _tunnel(self, client: socket.socket) -> None:
        with client.makefile("rb", buffering=0) as stream:
            _, methods = stream.read(2)
            stream.read(methods)
            client.sendall(b"\x05\x00")  # none of them is needed
            *_, kind = stream.read(4)
            length = {1: 4, 4: 16}.get(kind) or stream.read(1)[0]
            self.requests.append(stream.read(length + 2)[:-2].decode("latin-1"))
        server = socket.create_connection(("127.0.0.1", self._target))
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        threading.Thread(target=_carry, args=(server, client), daemon=True).start()
        _carry(client, server)


def _read_head(client: socket.socket) -> bytes | None:
    """Read a request's head; None of a client that leaves before it has said all of it."""
    head = b""
    with suppress(OSError):
        while byte := client.recv(1):
            head += byte
            if head.endswith(b"\r\n\r\n"):
                return head
    return None


@contextmanager
def unix_socket_to(port: int) -> Iterator[str]:
    """Lead a unix socket, whose path is given, to a port of this machine."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        path = str(Path(folder, "socket"))
        listener.bind(path)
        listener.listen()

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    server = socket.create_connection(("127.0.0.1", port))
                    for ends in ((client, server), (server, client)):
                        threading.Thread(target=_carry, args=ends, daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield path
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # which ends the wait for clients


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65_536):
            sink.sendall(chunk)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
