"""What a view starts or leaves behind: streams, files, threads, and views that run at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    copy_current_request_context,
    request,
    send_file,
    stream_with_context,
)
from werkzeug.test import EnvironBuilder, run_wsgi_app
from werkzeug.wsgi import FileWrapper

from datalyr_core import Tracker, current_tracker
from datalyr_core.testing import RecordingClient
from tests.flask.conftest import MakeApp

AT_ONCE = 4


def track_below(event: str) -> None:
    tracker = current_tracker()
    assert tracker is not None
    tracker.track(event)


def told(client: RecordingClient) -> list[tuple[str, str]]:
    return sorted((event.event, event.anonymous_id) for event in client.events)


def visit(app: Flask, visitor: str, path: str = "/") -> str:
    headers = {"Cookie": f"__dl_visitor_id={visitor}"}
    return app.test_client(use_cookies=False).get(path, headers=headers).text


def stream_in_context() -> Response:
    def body() -> Iterator[str]:
        for number in range(1000):
            if number % 250 == 0:
                track_below(f"Chunk {number}")
            yield "."

    return Response(stream_with_context(body()))


def stream_of_the_tracker() -> Response:
    tracker = request.datalyr

    def body() -> Iterator[str]:
        for number in range(1000):
            if number % 250 == 0:
                tracker.track(f"Chunk {number}")
            yield "."

    return Response(body())


@pytest.mark.parametrize("view", [stream_in_context, stream_of_the_tracker])
def test_streams_by_turns_in_one_thread(
    app: Flask, client: RecordingClient, view: Callable[[], Response]
) -> None:
    """As under gevent, where one thread has many requests half done."""
    app.add_url_rule("/", view_func=view)
    bodies = [stream_of(app, visitor) for visitor in "abc"]
    for _ in range(1000):
        assert [next(body) for body in bodies] == [b"."] * 3
    for body in bodies:
        assert list(body) == []
    assert current_tracker() is None
    names = [f"Chunk {number}" for number in range(0, 1000, 250)]
    assert told(client) == sorted((name, visitor) for name in names for visitor in "abc")


def stream_of(app: Flask, visitor: str) -> Iterator[bytes]:
    """Serve a request in a context of its own, as each greenlet has one."""
    environ = EnvironBuilder("/", headers={"Cookie": f"__dl_visitor_id={visitor}"}).get_environ()
    context = copy_context()
    body, _, _ = context.run(run_wsgi_app, app, environ)
    chunks = iter(body)
    while chunk := context.run(next, chunks, b""):
        yield chunk
    context.run(body.close)  # type: ignore[attr-defined]  # a response's body has it


def test_stream_that_nobody_reads(app: Flask, client: RecordingClient) -> None:
    app.add_url_rule("/", view_func=stream_of_the_tracker)
    body: Any = app(EnvironBuilder("/").get_environ(), lambda *begin: None)
    body.close()
    assert client.events == []
    assert current_tracker() is None


@pytest.mark.parametrize("wrapped", [True, False])
def test_file(make_app: MakeApp, tmp_path: Path, wrapped: bool) -> None:
    """Also where the server sends it by `wsgi.file_wrapper`; caches may keep it, so no cookie."""
    app = make_app(set_visitor_cookie=True)
    page = tmp_path / "page.html"
    page.write_text("<p>hello")

    @app.get("/")
    def view() -> Response:
        request.datalyr.track("Downloaded")
        return send_file(page)

    environ = EnvironBuilder("/").get_environ()
    if wrapped:
        environ["wsgi.file_wrapper"] = FileWrapper
    body, _, headers = run_wsgi_app(app, environ, buffered=True)
    assert b"".join(body) == b"<p>hello"
    assert "Set-Cookie" not in headers
    assert [event.event for event in app.extensions["datalyr"].events] == ["Downloaded"]


def test_pool_of_threads(app: Flask, client: RecordingClient) -> None:
    """Its threads have the tracker that they are given, or the context that is copied for them."""
    nowhere: list[Tracker | None] = []
    with ThreadPoolExecutor(1) as pool:

        @app.get("/")
        def view() -> str:
            nowhere.append(pool.submit(current_tracker).result(20))
            pool.submit(request.datalyr.track, "Handed Over").result(20)
            pool.submit(copy_current_request_context(track_below), "Copied").result(20)
            pool.submit(copy_context().run, track_below, "Context").result(20)
            return ""

        for visitor in "abc":  # all in one thread of the pool
            visit(app, visitor)
        nowhere.append(pool.submit(current_tracker).result(20))
    assert nowhere == [None] * 4
    names = ["Context", "Copied", "Handed Over"]
    assert told(client) == [(name, visitor) for name in names for visitor in "abc"]


@pytest.mark.parametrize("is_async", [True, False])
def test_views_at_once(app: Flask, client: RecordingClient, is_async: bool) -> None:
    together = threading.Barrier(AT_ONCE)

    def view() -> str:
        together.wait(20)
        track_below("Met")
        together.wait(20)
        request.datalyr.track("Parted")
        return str(request.datalyr.anonymous_id)

    async def async_view() -> str:
        return view()

    app.add_url_rule("/", view_func=async_view if is_async else view)
    visitors = [f"v{number}" for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as browsers:
        assert list(browsers.map(lambda visitor: visit(app, visitor), visitors)) == visitors
    assert told(client) == sorted((n, v) for n in ("Met", "Parted") for v in visitors)


def test_end_that_comes_twice_or_without_a_beginning(app: Flask, client: RecordingClient) -> None:
    """As `stream_with_context` and `test_request_context` have it."""
    with app.test_request_context("/", headers={"Cookie": "__dl_visitor_id=v"}):
        app.do_teardown_request()
        track_below("Between")
        app.do_teardown_request()
        app.do_teardown_request(ValueError("as the test wants it"))
        track_below("After")
    assert told(client) == [("After", "v"), ("Between", "v")]
    assert current_tracker() is None
