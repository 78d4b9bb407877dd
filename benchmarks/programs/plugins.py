"""Each plugin in a process of its own: `python -m benchmarks.programs.plugins NAME PORT`.

With the port of a sink events go there, with 0 nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from benchmarks.programs import contestants, floor, ours
from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.contestants import PROPERTIES
from benchmarks.programs.pairs import Pair, Serve, Work, run
from datalyr_core import Datalyr

COOKIE = "sessionid=abcdefgh; __dl_visitor_id=anon_3d5cf66d-203f-4009-8bb0-f3714da152a4"
NAME = "Purchase Completed"


class Plugged(NamedTuple):
    """A plugin within its framework.

    Attributes:
        client: Its client.
        track: What a view calls, in a request that has tracked before.
        fresh: Makes another request, and returns what its view calls.
        pair: Requests that track nothing.
    """

    client: Datalyr
    track: Work
    fresh: Callable[[], Work]
    pair: Pair


def starlette(port: int, **options: Any) -> Plugged:
    from starlette.requests import Request

    from datalyr_starlette import DatalyrMiddleware
    from datalyr_starlette.web_request import SCOPE_KEY, StarletteRequest

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Do nothing: the middleware alone is measured."""

    middleware = DatalyrMiddleware(app, client=ours.client(port, **options))
    headers = [(b"host", b"example.com"), (b"cookie", COOKIE.encode())]

    def scope() -> dict[str, Any]:
        return {"type": "http", "path": "/", "headers": headers, "state": {}}

    request: Any = Request(scope())
    run(middleware(request.scope, None, None))  # type: ignore[arg-type]  # never called

    def fresh() -> Work:
        made: Any = Request(scope())
        made.scope[SCOPE_KEY] = middleware.client.tracker(StarletteRequest(made.scope))
        return lambda: made.datalyr.track(NAME, PROPERTIES)

    return Plugged(
        middleware.client,
        lambda: request.datalyr.track(NAME, PROPERTIES),
        fresh,
        Pair(
            lambda scope: run(app(scope, None, None)),
            lambda scope: run(middleware(scope, None, None)),  # type: ignore[arg-type]  # never called
            scope,
        ),
    )


def flask(port: int, **options: Any) -> Plugged:
    from flask import Flask, request
    from werkzeug.test import EnvironBuilder

    from datalyr_flask import FlaskDatalyr
    from datalyr_flask.web_request import FlaskRequest

    environ = EnvironBuilder(headers={"Cookie": COOKIE}).get_environ()

    def make(plugged: bool) -> Flask:
        app = Flask(__name__)
        app.add_url_rule("/", view_func=lambda: "")
        if plugged:
            FlaskDatalyr(app, client=ours.client(port, **options))
        return app

    bare, plugged = make(plugged=False), make(plugged=True)
    plugged.request_context(dict(environ)).push()  # the view's context, for `track`
    current: Any = request._get_current_object()
    client: Datalyr = plugged.extensions["datalyr"]

    def fresh() -> Work:
        # Flask has one request at a time, which may have many trackers.
        tracker = client.tracker(FlaskRequest(current, served=True))
        return lambda: tracker.track(NAME, PROPERTIES)

    def serve(app: Flask) -> Serve:
        return lambda environ: app(environ, lambda *args: None)

    return Plugged(
        client,
        lambda: current.datalyr.track(NAME, PROPERTIES),
        fresh,
        Pair(serve(bare), serve(plugged), lambda: dict(environ)),
    )


def django(port: int, **options: Any) -> Plugged:
    answer, client = _django(port, options)
    from datalyr_django.middleware import DatalyrMiddleware

    middleware, requests = DatalyrMiddleware(lambda request: answer), _django_requests()
    request = requests()
    middleware(request)
    return Plugged(
        client,
        lambda: request.datalyr.track(NAME, PROPERTIES),
        _django_fresh(client, requests),
        Pair(middleware.get_response, middleware, requests),
    )


def django_asgi(port: int, **options: Any) -> Plugged:
    answer, client = _django(port, options)
    from datalyr_django.middleware import DatalyrMiddleware

    async def view(request: Any) -> Any:
        return answer

    middleware, requests = DatalyrMiddleware(view), _django_requests()
    request = requests()
    run(middleware(request))
    return Plugged(
        client,
        lambda: request.datalyr.track(NAME, PROPERTIES),
        _django_fresh(client, requests),
        Pair(
            lambda request: run(view(request)),
            lambda request: run(middleware(request)),
            requests,
        ),
    )


def _django(port: int, options: dict[str, Any]) -> tuple[Any, Datalyr]:
    from django.conf import settings

    where: dict[str, Any] = {"TRANSPORT": ours.Nowhere()}
    if port:
        where = {"HOST": f"http://127.0.0.1:{port}/track"}
    where |= {name.upper(): value for name, value in options.items()}
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATALYR={"API_KEY": "dk_bench", "MAX_QUEUE_SIZE": 10_000, **where},
        INSTALLED_APPS=["datalyr_django"],
    )
    import django as framework

    framework.setup()
    from django.http import HttpResponse

    from datalyr_django import get_client

    return HttpResponse(), get_client()


def _django_requests() -> Callable[[], Any]:
    """Return what makes requests: one that is served again would not show what holds it."""
    from django.core.handlers.wsgi import WSGIRequest
    from django.test import RequestFactory

    environ = RequestFactory().get("/", headers={"cookie": COOKIE}).environ
    return lambda: WSGIRequest(dict(environ))


def _django_fresh(client: Datalyr, requests: Callable[[], Any]) -> Callable[[], Work]:
    from datalyr_django.tracker import DjangoTracker
    from datalyr_django.web_request import DjangoRequest

    def fresh() -> Work:
        request = requests()
        request.datalyr = client.tracker(DjangoRequest(request), kind=DjangoTracker)
        return lambda: request.datalyr.track(NAME, PROPERTIES)

    return fresh


MAKERS = {each.__name__: each for each in (django, django_asgi, flask, starlette)}


@contextmanager
def plugin(name: str, port: int) -> Iterator[Commands]:
    """Make a plugin, and give the commands that measure it."""
    made = MAKERS[name](port)
    contestant = ours.contestant(made.client, made.track)
    made.track()
    made.client.flush()
    floors = {each: floor.floor(make_id) for each, make_id in floor.IDS.items()}
    yield {
        "calls": lambda count: contestants.calls(contestant, count, floors, made.fresh),
        "paced": lambda *how: contestants.paced(contestant, *how, floors["new_id"]),
        "added_time": made.pair.added_time,
        "added_memory": made.pair.added_memory,
    }
    made.client.close()


if __name__ == "__main__":
    answer(lambda: plugin(sys.argv[1], int(sys.argv[2])))
