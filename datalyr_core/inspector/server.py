"""Serve the inspector with uvicorn: in the foreground for a person, in a thread for a test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import create_app
from .bell import Bell
from .ingest import CUT_EXTENSION
from .store import Store

START_TIMEOUT = 10.0
STOP_TIMEOUT = 10.0
GRACE = 2
IDLE = 60


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


class CuttableProtocol(H11Protocol):
    """HTTP whose application may close the connection instead of answering.

    ASGI has no message for that, so the transport's own `abort` travels in the scope.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in H11Protocol
        """Take a connection."""
        super().connection_made(transport)
        # asyncio does it only for sockets that name their protocol, and ours does not. Without it
        # each answer on a kept-alive connection waits 40 ms for the client's acknowledgement.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app = _cuttable(self.app, transport)


class Server(uvicorn.Server):
    """A server that says when it is ready, and that ends its streams when it stops."""

    def __init__(self, config: uvicorn.Config, bell: Bell) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._bell = bell

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving; an open stream would otherwise be waited for."""
        self._bell.close()
        await super().shutdown(sockets)


class RunningInspector:
    """An inspector that serves in a thread.

    Args:
        server: The server.
        listener: The socket that it listens on.
    """

    def __init__(self, server: Server, listener: socket.socket) -> None:
        self.url = base_url(listener)
        self.track_url = f"{self.url}/track"
        self._server = server
        self._thread = threading.Thread(
            target=server.run, args=([listener],), name="datalyr-inspector", daemon=True
        )

    def start(self) -> None:
        """Start serving, and wait until it does."""
        self._thread.start()
        if not self._server.ready.wait(START_TIMEOUT):
            raise TimeoutError("the inspector did not start; its log says why")

    def stop(self) -> None:
        """Stop serving, and wait until it has; again is harmless."""
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT)


@contextmanager
def running(
    host: str = "127.0.0.1", port: int = 0, store: Store | None = None, keep_alive: float = 15.0
) -> Iterator[RunningInspector]:
    """Run an inspector in a thread while the block lasts.

    Args:
        host: The host to listen on.
        port: The port; 0 for a free one.
        store: Where entries are kept; a new one by default.
        keep_alive: Seconds of silence after which the stream sends a comment.

    Yields:
        An object with `url`, `track_url` and `stop()`.

    Raises:
        ListenError: The address cannot be listened on.
    """
    with closing(listen(host, port)) as listener:
        app = create_app(host, store, keep_alive)
        inspector = RunningInspector(make_server(app), listener)
        inspector.start()
        try:
            yield inspector
        finally:
            inspector.stop()


def make_server(app: Starlette) -> Server:
    """Make a server for an inspector.

    Args:
        app: What `create_app` returned.

    Returns:
        The server; its `run` takes a list of sockets.
    """
    config = uvicorn.Config(
        app,
        http=CuttableProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=GRACE,
    )
    return Server(config, app.state.inspection.bell)


def listen(host: str, port: int) -> socket.socket:
    """Open the socket to serve on.

    Args:
        host: The host.
        port: The port; 0 for a free one.

    Returns:
        A listening socket.

    Raises:
        ListenError: The port is in use, or the address is not one of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        # create_server appends the address, which the message names already.
        reason = str(getattr(error, "strerror", error)).partition(" (")[0]
        raise ListenError(
            f"cannot listen on {host} port {port}: {reason}. "
            "Stop what uses it, or choose another with --host and --port."
        ) from error


def base_url(listener: socket.socket) -> str:
    """Write the address of a listening socket as a URL.

    Args:
        listener: The socket.

    Returns:
        The URL, without a slash at its end.
    """
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cuttable(app: ASGIApp, transport: asyncio.Transport) -> ASGIApp:
    async def with_cut(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[CUT_EXTENSION] = transport.abort
        await app(scope, receive, send)

    return with_cut
