"""A Starlette connection as core sees one: read from the ASGI scope, nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from datalyr_core.web_request import absolute_url

SCOPE_KEY = "datalyr"

_HOST = re.compile(r"[A-Za-z0-9._\-]+(:\d+)?\Z|\[[0-9A-Fa-f:.]+\](:\d+)?\Z")
_USER_ID_NAMES = ("identity", "id", "pk", "username")


class StarletteRequest:
    """Answer core's questions about an HTTP request or a websocket."""

    __slots__ = ("_is_over", "_latest", "_scope")

    def __init__(self, scope: Scope) -> None:
        """Bind to an ASGI scope."""
        self._scope = self._latest = scope
        self._is_over = False

    def see(self, scope: Scope) -> None:
        """Note the scope as the view has it.

        A middleware in between may have passed on a copy, with the user and the session in it.
        """
        if not self._is_over:
            self._latest = scope

    def end(self) -> None:
        """Hold on to what the connection was, but not to the scope that holds the tracker.

        Else each scope, with its session and its user, would stay in memory until Python's
        collector comes by.
        """
        self._is_over = True
        was_copied = self._latest is not self._scope
        self._scope = kept = _without_tracker(self._scope)
        self._latest = _without_tracker(self._latest) if was_copied else kept

    @property
    def native(self) -> HTTPConnection:
        """Return a request whose body cannot be read, or what a websocket's handshake says."""
        scope = self._latest
        return Request(scope) if scope["type"] == "http" else HTTPConnection(scope)

    def header(self, name: str) -> str | None:
        """Return a header; of several lines, all."""
        wanted = name.encode("latin-1")
        lines = [value for key, value in self._scope["headers"] if key == wanted]
        if not lines:
            return None
        # HTTP/2 may split cookies over lines (RFC 9113, 8.2.3).
        return (b"; " if name == "cookie" else b", ").join(lines).decode("latin-1")

    def path(self) -> str:
        """Return the path."""
        return str(self._scope["path"])

    def query(self) -> str:
        """Return the query string."""
        query: bytes = self._scope.get("query_string", b"")
        return query.decode("latin-1")

    def url(self) -> str | None:
        """Return the URL, or None where no host is known or a client made one up."""
        host = self.header("host") or self._server()
        if not host or not _HOST.match(host):
            return None
        scheme = self._scope.get("scheme", "http")
        return absolute_url(scheme, host, self.path(), self.query())

    def secure(self) -> bool:
        """Tell whether the connection came over TLS."""
        return self._scope.get("scheme") in ("https", "wss")

    def ip(self) -> str | None:
        """Return the peer's address; a Unix socket's peer has none."""
        client = self._scope.get("client")
        return str(client[0]) if client and client[0] else None

    def user_id(self) -> Any:
        """Return the id of the user that an authentication middleware left in the scope."""
        user = self._latest.get("user")
        if user is None or not getattr(user, "is_authenticated", True):
            return None
        for name in _USER_ID_NAMES:
            try:
                found = getattr(user, name, None)
            except NotImplementedError:  # Starlette's BaseUser declares `identity` that way
                continue
            if found is not None:
                return found
        return None

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask a function of the application."""
        return question(self.native)

    def _server(self) -> str | None:
        server = self._scope.get("server")
        if not server:
            return None
        host, port = server
        return f"{host}:{port}" if port else None  # without a port it is a socket's path


def _without_tracker(scope: Scope) -> Scope:
    state = scope.get("state") or {}
    # Mostly there is nothing else in it, and no need of a copy.
    others = {} if len(state) == 1 and SCOPE_KEY in state else {**state}
    others.pop(SCOPE_KEY, None)
    copy = {**scope, "state": others}
    copy.pop(SCOPE_KEY, None)
    return copy
