"""The middleware: pure ASGI, for Starlette, FastAPI and whatever speaks it."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from datalyr_core import Config, ConfigurationError, Datalyr, Tracker
from datalyr_core.context import activate
from datalyr_core.response import Header
from datalyr_starlette.request import SCOPE_KEY
from datalyr_starlette.web_request import StarletteRequest


class DatalyrMiddleware:
    """Give each request and websocket its tracker, and close the client at shutdown."""

    def __init__(self, app: ASGIApp, client: Datalyr | None = None, **options: Any) -> None:
        """Wrap an application.

        Args:
            app: The application.
            client: A client made elsewhere, or None to make one.
            **options: The options of `Config` for the client that is made here; what is
                not given comes from the environment (`DATALYR_<OPTION>`).

        Raises:
            ConfigurationError: Something is wrong with the options.
        """
        if client is not None and options:
            raise ConfigurationError(
                f"DatalyrMiddleware got a client and also {', '.join(options)}; "
                "give these to the client"
            )
        self.app = app
        self.client = client or Datalyr(Config.from_env(**options))
        self._is_own = client is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the application's lifespan."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._live(scope, receive, send)
        elif kind not in ("http", "websocket") or SCOPE_KEY in scope:
            await self.app(scope, receive, send)  # the outermost middleware's tracker counts
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = StarletteRequest(scope)
        tracker = self.client.tracker(request)
        scope[SCOPE_KEY] = tracker
        scope.setdefault("state", {})[SCOPE_KEY] = tracker  # servers give each request its own
        self._publish(scope)
        if self.client.excludes(request):
            await self.app(scope, receive, send)
            return
        if self.client.config.set_visitor_cookie and scope["type"] == "http":
            send = _with_cookie(send, tracker)
        with activate(tracker):
            await self.app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_own and self.client.closed:  # the application is started again
            self.client = Datalyr(self.client.config)
        self._publish(scope)
        known = False  # whether the application knows of lifespan: then it asks what is up

        async def receive_and_note() -> Message:
            nonlocal known
            known = True
            return await receive()

        async def send_and_close(message: Message) -> None:
            # By now the application's own shutdown is over, with whatever it tracked.
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                await self.client.aclose(self.client.config.exit_timeout)
            await send(message)

        try:
            await self.app(scope, receive_and_note, send_and_close)
        except Exception:
            if known:
                raise
        if not known:
            await _stand_in(receive, send_and_close)

    def _publish(self, scope: Scope) -> None:
        """Let the application find the client as `app.state.datalyr`."""
        state = getattr(scope.get("app"), "state", None)
        if state is not None and getattr(state, "datalyr", None) is not self.client:
            state.datalyr = self.client


async def _stand_in(receive: Receive, send: Send) -> None:
    """Answer for an application without lifespan, or nothing would tell that the server stops."""
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


def _with_cookie(send: Send, tracker: Tracker) -> Send:
    """Add a new visitor's cookie when the response starts."""

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            added = tracker.cookie_headers(message["status"], _reader(headers))
            encoded = [(name.lower().encode(), value.encode()) for name, value in added]
            message = {**message, "headers": headers + encoded}
        await send(message)

    return send_with_cookie


def _reader(headers: list[tuple[bytes, bytes]]) -> Header:
    def read(name: str) -> str | None:
        wanted = name.encode()
        found = [value for key, value in headers if key.lower() == wanted]
        return b", ".join(found).decode("latin-1") if found else None

    return read
