"""The middleware: pure ASGI, for Starlette, FastAPI and whatever speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn, Unpack

import anyio
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import datalyr_core
from datalyr_core import lifecycle
from datalyr_core.context import enter, leave
from datalyr_core.errors import ConfigurationError
from datalyr_starlette.web_request import SCOPE_KEY, StarletteRequest

if TYPE_CHECKING:
    import datalyr_core.option_types
    from datalyr_core import Datalyr, Tracker
    from datalyr_core.option_types import AllOptions
    from datalyr_core.response import Header


class DatalyrMiddleware:
    """Give each request and websocket its tracker, and deliver what waits at shutdown."""

    def __init__(
        self,
        app: ASGIApp,
        client: datalyr_core.Datalyr | None = None,
        **options: Unpack[datalyr_core.option_types.AllOptions],
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            client: A client made elsewhere, or None to make one. Both are closed at
                shutdown, and open again if the application is started again.
            **options: The options of `Config` for the client that is made here; what is
                not given comes from the environment (`DATALYR_<OPTION>`).

        Raises:
            ConfigurationError: Something is wrong with the options. Where an event loop
                runs already it is kept for the first call; see `_refuse`.
        """
        self.app = app
        self._problem: ConfigurationError | None = None
        self._exit_is_covered = False  # by lifespan, or by a SIGTERM that is held back
        self._is_over = False  # whether a lifespan has closed the client
        self._lifespan_state: Any = None
        try:
            self.client = _client(client, options)
        except ConfigurationError as problem:
            if not _in_event_loop():
                raise
            self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the application's lifespan."""
        kind = scope["type"]
        if self._problem:
            await _refuse(self._problem, scope, receive, send)
        if kind == "lifespan":
            await self._live(scope, receive, send)
            return
        if kind not in ("http", "websocket") or SCOPE_KEY in scope:
            await self.app(scope, receive, send)  # the outermost middleware's tracker counts
            return
        if not self._exit_is_covered:  # no lifespan came here, as in a mounted application
            self._exit_is_covered = True
            lifecycle.hold_sigterm()
        self._renew(scope)
        request = StarletteRequest(scope)
        tracker = self.client.tracker(request)
        scope[SCOPE_KEY] = tracker
        scope["state"] = self._state_with(tracker, scope.get("state"))
        try:
            if self.client.excludes(request):
                await self.app(scope, receive, send)
                return
            if tracker.sets_cookie and kind == "http":
                send = _with_cookie(send, tracker)
            token = enter(tracker)
            try:
                await self.app(scope, receive, send)
            finally:
                leave(token)
        finally:
            request.end()
            if lifecycle.is_ending():  # the server waits for this request, and for nothing after
                await self.client.aflush(self.client.config.exit_timeout)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._renew(scope)
        self._lifespan_state = scope.get("state")
        asked = started = False

        async def receive_and_note() -> Message:
            nonlocal asked
            asked = True
            return await receive()

        async def send_and_deliver(message: Message) -> None:
            nonlocal started
            if message["type"] == "lifespan.startup.complete":
                self._exit_is_covered = started = True
            elif message["type"].startswith("lifespan.shutdown."):
                # By now the application's own shutdown is over, with whatever it tracked.
                started = False
                await self._end()
            await send(message)

        try:
            await self.app(scope, receive_and_note, send_and_deliver)
            if not asked:  # it knows no lifespan and does not mind
                await _stand_in(receive, send_and_deliver)
        finally:
            if started:
                await self._end()

    async def _end(self) -> None:
        """Deliver what waits; the server may end the process as soon as it hears of it."""
        self._exit_is_covered = False
        was_open = not self.client.closed
        await self.client.aclose(self.client.config.exit_timeout)
        self._is_over = was_open

    def _renew(self, scope: Scope) -> None:
        """Let the application find the client as `app.state.datalyr`, one that is open."""
        if self._is_over:  # and yet the application goes on, as it does in tests
            self._is_over = False
            self.client.reopen()
        app = scope.get("app")
        state = getattr(app, "state", None)
        if state is not None and getattr(state, "datalyr", None) is not self.client:
            state.datalyr = self.client
            for mounted in _mounted(app):
                mounted.state.datalyr = self.client

    def _state_with(self, tracker: Tracker, state: dict[str, Any] | None) -> dict[str, Any]:
        """Add the tracker to a request's state, which must be no other request's.

        Servers give each request a dict of its own. Some test tools give all of them the
        lifespan's.
        """
        if state is None or state is self._lifespan_state or SCOPE_KEY in state:
            state = {**(state or {})}
        state[SCOPE_KEY] = tracker
        return state


def _client(given: Datalyr | None, options: AllOptions) -> Datalyr:
    if given is None:
        # Not with the plugin: whoever gives a client of their own has imported it already.
        from datalyr_core import Config, Datalyr

        return Datalyr(Config.from_env(**options))
    if options:
        raise ConfigurationError(
            f"DatalyrMiddleware got a client and also {', '.join(options)}; "
            "give these to the client"
        )
    return given


def _in_event_loop() -> bool:
    try:
        anyio.current_time()
    except RuntimeError:
        return False
    return True


async def _refuse(
    problem: ConfigurationError, scope: Scope, receive: Receive, send: Send
) -> NoReturn:
    """Fail the start-up, or the request where the server asks for no start-up.

    Starlette makes its middleware when the first message comes. Servers take an error from
    there for an application without lifespan, and start.
    """
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": str(problem)})
    raise problem.with_traceback(None)  # or the next one would be raised on top of it


def _mounted(app: Any) -> Iterator[Starlette]:
    """Find the applications that are mounted in one: their `request.app` is themselves."""
    for route in getattr(app, "routes", ()):
        inner = getattr(route, "app", None)
        if isinstance(inner, Starlette):
            yield inner
        yield from _mounted(inner)


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
