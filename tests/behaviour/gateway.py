"""WSGI and ASGI servers of one request: what reaches the application is what the test says."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote


@dataclass(frozen=True)
class Answer:
    """What a browser would see."""

    status: int
    headers: list[tuple[str, str]]  # names in lower case
    body: str

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def call_wsgi(app: Any, url: str, headers: Mapping[str, str], scheme: str) -> Answer:
    path, _, query = url.partition("?")
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "80" if scheme == "http" else "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "203.0.113.7",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    started: list[Any] = []
    chunks = app(environ, lambda *args: started.append(args))
    try:
        body = b"".join(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    status, response_headers = started[-1][:2]
    told = [(name.lower(), value.strip()) for name, value in response_headers]
    return Answer(int(status[:3]), told, body.decode())


def call_asgi(app: Any, url: str, headers: Mapping[str, str], scheme: str) -> Answer:
    path, _, query = url.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": scheme,
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [
            (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
        ],
        "client": ("203.0.113.7", 50000),
        "server": ("shop.example", 80),
        "state": {},
    }
    return asyncio.run(_serve(app, scope))


async def _serve(app: Any, scope: dict[str, Any]) -> Answer:
    messages: list[Any] = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        return await asyncio.Event().wait()  # the client stays

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        if not sent:  # Starlette answers with a 500 and lets the server log what was raised
            raise
    start = sent[0]
    told = [(name.decode().lower(), value.decode("latin-1")) for name, value in start["headers"]]
    return Answer(start["status"], told, b"".join(each.get("body", b"") for each in sent).decode())
