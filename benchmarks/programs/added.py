"""What a plugin adds to a whole request that tracks nothing: `… .added NAME`.

Counted through the frameworks' own handlers: work that is handed to another thread, database
queries, response headers.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from benchmarks.programs import ours
from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.plugins import COOKIE

Counts = dict[str, int]
Ask = Callable[[], Awaitable[int]]  # serves a request, and returns how many headers it got


def counted(ask: Ask) -> Counts:
    """Serve a request, and count."""
    counts = {"hops": 0, "queries": 0}

    def counting(function: Callable[..., Any], what: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            counts[what] += 1
            return function(*args, **options)

        return call

    async def asked() -> int:
        from anyio import to_thread

        with (
            patch.object(to_thread, "run_sync", counting(to_thread.run_sync, "hops")),
            patch.object(ThreadPoolExecutor, "submit", counting(ThreadPoolExecutor.submit, "hops")),
            patch.object(threading.Thread, "start", counting(threading.Thread.start, "hops")),
        ):
            return await ask()

    asyncio.run(_once(ask))  # what is done once in a process
    if django := sys.modules.get("django.db"):
        wrapper = counting(lambda execute, *args: execute(*args), "queries")
        with django.connection.execute_wrapper(wrapper):
            headers = asyncio.run(asked())
    else:
        headers = asyncio.run(asked())
    return {**counts, "headers": headers}


async def _once(ask: Ask) -> int:
    return await ask()


def _django(asynchronous: bool) -> tuple[Ask, Ask]:
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    async def async_view(request: Any) -> HttpResponse:
        return HttpResponse()

    def view(request: Any) -> HttpResponse:
        return HttpResponse()

    class Urls:
        urlpatterns = (path("", async_view if asynchronous else view),)

    chain = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=Urls,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "datalyr_django",
        ],
        DATALYR={"API_KEY": "dk_bench", "TRANSPORT": ours.Nowhere()},
    )
    import django

    django.setup()
    from django.test import AsyncClient, Client, override_settings

    def asking(*more: str) -> Ask:
        async def ask() -> int:
            with override_settings(MIDDLEWARE=[*chain, *more]):
                if asynchronous:
                    return len((await AsyncClient().get("/", headers={"cookie": COOKIE})).headers)
                return len(Client().get("/", headers={"cookie": COOKIE}).headers)

        return ask

    return asking(), asking("datalyr_django.middleware.DatalyrMiddleware")


def _flask() -> tuple[Ask, Ask]:
    from flask import Flask

    from datalyr_flask import FlaskDatalyr

    def asking(plugged: bool) -> Ask:
        app = Flask(__name__)
        app.add_url_rule("/", view_func=lambda: "")
        if plugged:
            FlaskDatalyr(app, client=ours.client())

        async def ask() -> int:
            return len(app.test_client().get("/", headers={"Cookie": COOKIE}).headers)

        return ask

    return asking(plugged=False), asking(plugged=True)


def _starlette() -> tuple[Ask, Ask]:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from datalyr_starlette import DatalyrMiddleware

    async def view(request: Request) -> Response:
        return Response()

    def asking(plugged: bool) -> Ask:
        app = Starlette(routes=[Route("/", view)])
        if plugged:
            app.add_middleware(DatalyrMiddleware, client=ours.client())

        async def ask() -> int:
            headers = [(b"host", b"example.com"), (b"cookie", COOKIE.encode())]
            scope = {"type": "http", "method": "GET", "path": "/", "headers": headers}
            scope |= {"query_string": b"", "root_path": ""}
            sent: list[Any] = []

            async def receive() -> Any:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                sent.append(message)

            await app(scope, receive, send)
            return len(sent[0]["headers"])

        return ask

    return asking(plugged=False), asking(plugged=True)


@contextmanager
def added(name: str) -> Iterator[Commands]:
    if name.startswith("django"):
        pair = _django(name == "django_asgi")
    else:
        pair = _flask() if name == "flask" else _starlette()

    def measure() -> dict[str, tuple[int, int]]:
        without, plugged = (counted(each) for each in pair)
        return {what: (without[what], plugged[what]) for what in plugged}

    yield {"added": measure}


if __name__ == "__main__":
    answer(lambda: added(sys.argv[1]))
