"""Connections as a server would make them, for what no well-behaved client sends."""

from __future__ import annotations

import asyncio
from typing import Any

from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware

HTML = [(b"content-type", b"text/html")]


def http_scope(**changes: Any) -> dict[str, Any]:
    """Make a scope with what the specification asks for, and nothing else."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "2",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [(b"host", b"shop.example")],
        **changes,
    }


async def tracking_app(scope: Any, receive: Any, send: Any) -> None:
    """An application without a framework: view the page, track, answer."""
    tracker = scope["datalyr"]
    tracker.page()
    tracker.track("Seen")
    await send({"type": "http.response.start", "status": 200, "headers": HTML})
    await send({"type": "http.response.body", "body": b"done"})


def served(client: RecordingClient, scope: dict[str, Any], app: Any = tracking_app) -> list[Any]:
    """Serve one connection; return what was sent. Nothing may be received."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body belongs to the application")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(DatalyrMiddleware(app, client)(scope, receive, send))
    return sent
