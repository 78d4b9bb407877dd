"""Memory of an application that serves: `… .resident NAME PORT`, 0 for no plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.programs import ours
from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.contestants import PROPERTIES
from benchmarks.programs.pairs import run

AT_ONCE = 500  # events before a flush: an application's sender keeps up


def resident() -> int:
    """Return the bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def starlette(port: int) -> tuple[Callable[[], Any], Any]:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    async def view(request: Any) -> Response:
        if port:
            request.datalyr.track(ours.NAME, PROPERTIES)
        return Response()

    app, client = Starlette(routes=[Route("/", view)]), None
    if port:
        from datalyr_starlette import DatalyrMiddleware

        client = ours.client(port)
        app.add_middleware(DatalyrMiddleware, client=client)

    async def send(message: Any) -> None:
        pass

    def serve() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "root_path": ""}
        run(app({**scope, "headers": [], "query_string": b""}, None, send))  # type: ignore[arg-type]  # never called

    return serve, client


def flask(port: int) -> tuple[Callable[[], Any], Any]:
    from flask import Flask, request
    from werkzeug.test import EnvironBuilder

    app, client = Flask(__name__), None
    environ = EnvironBuilder().get_environ()
    if port:
        from datalyr_flask import FlaskDatalyr

        client = ours.client(port)
        FlaskDatalyr(app, client=client)

    @app.get("/")
    def view() -> str:
        if port:
            request.datalyr.track(ours.NAME, PROPERTIES)  # type: ignore[attr-defined]  # ours
        return ""

    return lambda: app(dict(environ), lambda *args: None), client


def django(port: int) -> tuple[Callable[[], Any], Any]:
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    def view(request: Any) -> HttpResponse:
        if port:
            request.datalyr.track(ours.NAME, PROPERTIES)
        return HttpResponse()

    class Urls:
        urlpatterns = (path("", view),)

    plugged: dict[str, Any] = {}
    if port:
        plugged = {
            "INSTALLED_APPS": ["datalyr_django"],
            "MIDDLEWARE": ["datalyr_django.middleware.DatalyrMiddleware"],
            "DATALYR": {"API_KEY": "dk_bench", "HOST": f"http://127.0.0.1:{port}/track"},
        }
    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=Urls, **plugged)
    import django as framework

    framework.setup()
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import RequestFactory

    app, environ = WSGIHandler(), RequestFactory().get("/").environ
    client = None
    if port:
        from datalyr_django import get_client

        client = get_client()
    return lambda: app(dict(environ), lambda *args: None).close(), client


MAKERS = {each.__name__: each for each in (django, flask, starlette)}


@contextmanager
def application(name: str, port: int) -> Iterator[Commands]:
    """Make an application, with the plugin if there is a port to send to."""
    serve, client = MAKERS[name](port)

    def served(count: int) -> int:
        """Serve requests, an event each, and return the bytes of memory of the process."""
        for number in range(count):
            serve()
            if client and number % AT_ONCE == 0:
                client.flush()
        if client:
            client.flush()
        return resident()

    yield {"served": served}
    if client:
        client.close()


if __name__ == "__main__":
    answer(lambda: application(sys.argv[1], int(sys.argv[2])))
