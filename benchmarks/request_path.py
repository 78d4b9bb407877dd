"""What tracking costs a request: `python -m benchmarks.request_path`.

Every figure is the CPU time of the calling thread, the median of several rounds, beside the
floor of the same run: one event id, one `orjson.dumps` of an event, one append.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from datalyr_core import Datalyr, Reply
from datalyr_core.identity import new_id

ROUNDS = 15
CALLS = 1000  # fewer than the queue holds
PROPERTIES = {"amount": 99.99, "currency": "EUR", "plan": "pro", "items": 3}
COOKIE = "sessionid=abcdefgh; __dl_visitor_id=anon_3d5cf66d-203f-4009-8bb0-f3714da152a4"

Work = Callable[[], Any]


class Nowhere:
    """A transport that takes everything at once."""

    def send(self, body: bytes) -> Reply:
        return Reply(200)


def make_client() -> Datalyr:
    return Datalyr("dk_bench", transport=Nowhere(), max_queue_size=10_000)


def measure(work: Work, client: Datalyr | None = None, calls: int = CALLS) -> float:
    """Return the CPU microseconds of one call, the median of the rounds."""
    rounds = []
    for _ in range(ROUNDS):
        if client:
            client.flush()  # no round begins with another's events
        begun = time.thread_time()
        for _ in range(calls):
            work()
        rounds.append((time.thread_time() - begun) / calls * 1e6)
    return statistics.median(rounds)


def measure_pair(without: Work, plugged: Work, calls: int = 500) -> float:
    """Return what one call costs more than another, measured by turns."""
    differences = []
    for _ in range(ROUNDS * 2):
        costs = []
        for work in (without, plugged):
            begun = time.thread_time()
            for _ in range(calls):
                work()
            costs.append((time.thread_time() - begun) / calls * 1e6)
        differences.append(costs[1] - costs[0])
    return statistics.median(differences)


def floor() -> float:
    kept: deque[bytes] = deque(maxlen=1000)
    anonymous_id = "anon_3d5cf66d-203f-4009-8bb0-f3714da152a4"

    def work() -> None:
        event = {
            "event": "Purchase Completed",
            "anonymousId": anonymous_id,
            "eventId": new_id(),
            "properties": {**PROPERTIES, "anonymous_id": anonymous_id},
            "context": {"library": "datalyr-python", "version": "0", "source": "api"},
            "timestamp": "2026-07-01T12:34:56.000Z",
        }
        kept.append(orjson.dumps(event))

    return measure(work)


# The plugins: each returns (track in a view, request without plugin, request with plugin)


def starlette() -> tuple[Datalyr, Work, Work, Work]:
    from starlette.requests import Request

    from datalyr_starlette import DatalyrMiddleware

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Do nothing: the middleware alone is measured."""

    middleware = DatalyrMiddleware(app, client=make_client())
    headers = [(b"host", b"example.com"), (b"cookie", COOKIE.encode())]

    def scope() -> dict[str, Any]:
        return {"type": "http", "path": "/", "headers": headers, "state": {}}

    request = Request(scope())
    _run(middleware(request.scope, None, None))  # type: ignore[arg-type]  # never called
    return (
        middleware.client,
        lambda: request.datalyr.track("Purchase Completed", PROPERTIES),  # type: ignore[attr-defined]  # ours
        lambda: _run(app(scope(), None, None)),
        lambda: _run(middleware(scope(), None, None)),  # type: ignore[arg-type]  # never called
    )


def flask() -> tuple[Datalyr, Work, Work, Work]:
    from flask import Flask, request
    from werkzeug.test import EnvironBuilder

    from datalyr_flask import FlaskDatalyr

    environ = EnvironBuilder(headers={"Cookie": COOKIE}).get_environ()

    def make(plugged: bool) -> Flask:
        app = Flask(__name__)
        app.add_url_rule("/", view_func=lambda: "")
        if plugged:
            FlaskDatalyr(app, client=make_client())
        return app

    bare, plugged = make(plugged=False), make(plugged=True)
    plugged.request_context(dict(environ)).push()  # the view's context, for the first figure
    current = request._get_current_object()

    def serve(app: Flask) -> Work:
        return lambda: app(dict(environ), lambda *args: None)

    return (
        plugged.extensions["datalyr"],
        lambda: current.datalyr.track("Purchase Completed", PROPERTIES),
        serve(bare),
        serve(plugged),
    )


def django() -> tuple[Datalyr, Work, Work, Work]:
    from django.conf import settings

    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATALYR={"API_KEY": "dk_bench", "TRANSPORT": Nowhere(), "MAX_QUEUE_SIZE": 10_000},
        INSTALLED_APPS=["datalyr_django"],
    )
    import django as framework

    framework.setup()
    from django.http import HttpResponse
    from django.test import RequestFactory

    from datalyr_django import get_client
    from datalyr_django.middleware import DatalyrMiddleware

    answer = HttpResponse()
    middleware = DatalyrMiddleware(lambda request: answer)
    request = RequestFactory().get("/", headers={"cookie": COOKIE})
    middleware(request)

    def fresh() -> None:
        request.__dict__.pop("datalyr", None)

    def without() -> None:
        fresh()
        middleware.get_response(request)

    def plugged() -> None:
        fresh()
        middleware(request)

    return (
        get_client(),
        lambda: request.datalyr.track("Purchase Completed", PROPERTIES),
        without,
        plugged,
    )


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits, without the cost of a loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits")


def main() -> int:
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores")
    asyncio.set_event_loop(None)
    base = floor()
    client = make_client()
    rows = [
        ("floor: one id, one dumps, one append", base),
        ("client.track", measure(lambda: client.track("user_123", "Purchase", PROPERTIES), client)),
    ]
    added = []
    for make in (django, flask, starlette):
        client, track, without, plugged = make()
        rows.append((f"request.datalyr.track, {make.__name__}", measure(track, client)))
        added.append(
            (f"request that tracks nothing, {make.__name__}", measure_pair(without, plugged))
        )
    print(f"{'a call':<44}{'µs':>8}{'x floor':>10}")
    for name, cost in rows:
        print(f"{name:<44}{cost:>8.2f}{cost / base:>10.2f}")
    print(f"\n{'added to':<44}{'µs':>8}{'x floor':>10}")
    for name, cost in added:
        print(f"{name:<44}{cost:>8.2f}{cost / base:>10.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
