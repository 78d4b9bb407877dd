"""`request.datalyr` and `current_tracker()` in every kind of view and wherever a context goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    abort,
    copy_current_request_context,
    redirect,
    request,
    stream_with_context,
)
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client
from werkzeug.wrappers import Response as WerkzeugResponse

from datalyr_core import current_tracker
from datalyr_core.testing import RecordingClient
from datalyr_flask import FlaskDatalyr, current_datalyr
from tests.flask.conftest import MakeApp

FLASK = tuple(map(int, version("flask").split(".")[:3]))
VISITOR = {"Cookie": "__dl_visitor_id=v"}


def track_below(event: str) -> None:
    """Track as code does that knows nothing of the request."""
    tracker = current_tracker()
    assert tracker is not None
    tracker.track(event)


def browser_of(app: Flask) -> Client:
    """A browser that sends the cookies that the test says, and no others."""
    return app.test_client(use_cookies=False)


def told(client: RecordingClient) -> list[tuple[str, str]]:
    return [(event.event, event.anonymous_id) for event in client.events]


def test_the_three_ways_lead_to_one_tracker(app: Flask, client: RecordingClient) -> None:
    @app.get("/")
    def view() -> str:
        assert current_tracker() is request.datalyr
        assert current_datalyr.anonymous_id == request.datalyr.anonymous_id
        assert request.datalyr.client is client
        current_datalyr.user_id = 7
        request.datalyr.track("Seen")
        return ""

    assert app.test_client().get("/").status_code == 200
    assert [event.user_id for event in client.events] == ["7"]


def test_async_view(app: Flask, client: RecordingClient) -> None:
    @app.get("/")
    async def view() -> str:
        request.datalyr.track("Seen")
        track_below("Below")
        return ""

    browser_of(app).get("/", headers=VISITOR)
    assert told(client) == [("Seen", "v"), ("Below", "v")]


def test_stream_without_context(app: Flask, client: RecordingClient) -> None:
    @app.get("/")
    def view() -> Response:
        tracker = request.datalyr

        def body() -> Iterator[str]:
            assert current_tracker() is None
            tracker.track("Streamed")
            yield "done"

        return Response(body())

    assert browser_of(app).get("/", headers=VISITOR).text == "done"
    assert told(client) == [("Streamed", "v")]


def test_request_that_is_first_asked_in_a_stream(client: RecordingClient) -> None:
    """Even if the answer came from a function that was there before Datalyr."""
    app = Flask(__name__)

    @app.before_request
    def answer() -> Response:
        native = request._get_current_object()
        return Response(str(native.datalyr.track(name)) for name in ("One", "Two"))

    FlaskDatalyr(app, client)
    assert browser_of(app).get("/", headers=VISITOR).text
    assert told(client) == [("One", "v"), ("Two", "v")]


def test_stream_with_context(app: Flask, client: RecordingClient) -> None:
    """Flask from 3.1.2 on runs the functions of the request's end twice for such a stream."""
    ends: list[object] = []
    app.teardown_request(ends.append)

    @app.get("/")
    def view() -> Response:
        @stream_with_context
        def body() -> Iterator[str]:
            for number in range(500):
                track_below(f"Streamed {number}")
                yield "."

        request.datalyr.track("Began")
        return Response(body())

    assert len(browser_of(app).get("/", headers=VISITOR).text) == 500
    assert len(ends) == (1 if FLASK < (3, 1, 2) else 2)
    assert len(told(client)) == 501
    assert {visitor for _, visitor in told(client)} == {"v"}


def test_request_context_of_a_test(app: Flask, client: RecordingClient) -> None:
    """Without `before_request` functions, and with them."""
    with app.test_request_context("/", headers=VISITOR):
        track_below("Plain")
        request.datalyr.track("Plain")
    with app.test_request_context("/", headers={"Cookie": "__dl_visitor_id=w"}):
        app.preprocess_request()
        track_below("Preprocessed")
    assert told(client) == [("Plain", "v"), ("Plain", "v"), ("Preprocessed", "w")]


def test_request_belongs_to_its_own_visitor_in_anothers_context(
    app: Flask, client: RecordingClient
) -> None:
    with app.test_request_context("/", headers=VISITOR):
        outer = request._get_current_object()
        with app.test_request_context("/", headers={"Cookie": "__dl_visitor_id=w"}):
            outer.datalyr.track("Outer")
            request.datalyr.track("Inner")
    assert told(client) == [("Outer", "v"), ("Inner", "w")]


@pytest.mark.parametrize(("url", "status"), [("/missing", 404), ("/post", 405)])
def test_pages_of_errors(app: Flask, client: RecordingClient, url: str, status: int) -> None:
    @app.post("/post")
    def post() -> str:
        return ""

    @app.errorhandler(HTTPException)
    def sorry(error: HTTPException) -> tuple[str, int | None]:
        track_below(f"Sorry {error.code}")
        return "sorry", error.code

    assert browser_of(app).get(url, headers=VISITOR).status_code == status
    assert told(client) == [(f"Sorry {status}", "v")]


def test_exceptions(app: Flask, client: RecordingClient) -> None:
    @app.errorhandler(ValueError)
    def handled(error: ValueError) -> str:
        request.datalyr.track("Handled")
        return "handled"

    @app.get("/<kind>")
    def view(kind: str) -> str:
        request.datalyr.track("Began")
        if kind == "abort":
            abort(403)
        raise {"handled": ValueError, "unhandled": ZeroDivisionError}[kind]

    browser = browser_of(app)
    assert browser.get("/handled", headers=VISITOR).text == "handled"
    assert browser.get("/unhandled").status_code == 500
    assert browser.get("/abort").status_code == 403
    assert [name for name, _ in told(client)] == ["Began", "Handled", "Began", "Began"]
    assert len({visitor for _, visitor in told(client)}) == 3


def test_function_before_the_request_that_answers(app: Flask, client: RecordingClient) -> None:
    @app.before_request
    def closed() -> str:
        request.datalyr.track("Turned Away")
        return "closed"

    assert browser_of(app).get("/", headers=VISITOR).text == "closed"
    assert told(client) == [("Turned Away", "v")]


def test_function_that_was_there_before_datalyr(client: RecordingClient) -> None:
    app = Flask(__name__)
    app.before_request(lambda: track_below("First"))
    FlaskDatalyr(app, client)
    browser_of(app).get("/", headers=VISITOR)
    assert told(client) == [("First", "v")]


def test_end_of_the_request(app: Flask, client: RecordingClient) -> None:
    app.teardown_request(lambda error: track_below("Torn Down"))
    browser_of(app).get("/", headers=VISITOR)
    assert told(client) == [("Torn Down", "v")]


def test_copied_context_in_threads(app: Flask, client: RecordingClient) -> None:
    threads: list[threading.Thread] = []

    @app.get("/")
    def view() -> str:
        number = request.args["n"]

        @copy_current_request_context
        def work() -> None:
            track_below(f"Worked {number}")
            request.datalyr.track(f"Ended {number}")

        threads.append(threading.Thread(target=work))
        return ""

    browser = browser_of(app)
    for number in range(8):  # the requests are over when the threads run
        browser.get(f"/?n={number}", headers={"Cookie": f"__dl_visitor_id=v{number}"})
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(told(client)) == sorted(
        (f"{what} {n}", f"v{n}") for n in range(8) for what in ("Worked", "Ended")
    )


def test_body_is_left_to_the_view(make_app: MakeApp) -> None:
    """It may be a stream that can be read once, also where it is a form."""
    facts = ["url", "path", "referrer", "user_agent", "ip"]
    app = make_app(request_context=facts, set_visitor_cookie=True)

    @app.post("/")
    def view() -> bytes:
        request.datalyr.page()
        return request.stream.read()

    response = app.test_client().post("/?utm_source=news", data={"item": "tea"})
    assert response.data == b"item=tea"
    assert app.extensions["datalyr"].events[0].properties["utm_source"] == "news"


def test_redirect_is_another_request(app: Flask, client: RecordingClient) -> None:
    @app.get("/one")
    def one() -> WerkzeugResponse:
        request.datalyr.identify("7")
        return redirect("/two")

    @app.get("/two")
    def two() -> str:
        request.datalyr.track("Seen")
        return ""

    app.test_client().get("/one", follow_redirects=True)
    first, second = client.events
    assert (first.user_id, second.user_id) == ("7", None)
    assert first.anonymous_id != second.anonymous_id


def test_proxy_is_believed_where_the_application_says_so(make_app: MakeApp) -> None:
    forwarded = {"X-Forwarded-For": "198.51.100.9", "X-Forwarded-Proto": "https"}
    facts = []
    for trusted in (False, True):
        app = make_app(request_context=["ip", "url"], set_visitor_cookie=True)
        app.add_url_rule("/", view_func=lambda: request.datalyr.track("Seen"))
        if trusted:
            app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]  # as Flask's documentation has it
        response = app.test_client().get("/", headers=forwarded)
        (event,) = app.extensions["datalyr"].events
        secure = "Secure" in response.headers["Set-Cookie"]
        facts.append((event.properties["ip"], event.properties["url"], secure))
    assert facts == [
        ("127.0.0.1", "http://localhost/", False),
        ("198.51.100.9", "https://localhost/", True),
    ]


@pytest.mark.skipif(FLASK < (3, 1), reason="Flask 3.0 knows no TRUSTED_HOSTS")
def test_host_that_is_not_trusted(app: Flask, client: RecordingClient) -> None:
    app.config["TRUSTED_HOSTS"] = ["shop.example"]
    app.register_error_handler(400, lambda error: (str(request.datalyr.page()), 400))
    app.add_url_rule("/", view_func=lambda: str(request.datalyr.page()))
    browser = browser_of(app)
    assert browser.get("/", base_url="http://evil.example").status_code == 400
    assert browser.get("/", base_url="http://shop.example").status_code == 200
    urls = [event.properties.get("url") for event in client.events]
    assert urls == [None, "http://shop.example/"]


def test_application_below_a_path(make_app: MakeApp) -> None:
    """Each application of a dispatcher has the requests of its own part."""
    outer, inner = make_app(), make_app(exclude=["/admin/healthz"])
    for app in (outer, inner):
        app.add_url_rule("/<page>", view_func=lambda page: str(request.datalyr.page()))
    browser = Client(DispatcherMiddleware(outer, {"/admin": inner}))
    browser.get("/a%20b")
    browser.get("/admin/users")
    for app, path in ((outer, "/a b"), (inner, "/admin/users")):
        (event,) = app.extensions["datalyr"].events
        assert event.properties["path"] == path
        assert event.properties["url"] == f"http://localhost{path.replace(' ', '%20')}"


@pytest.mark.parametrize("mounted", [True, False])
def test_application_within_a_view(make_app: MakeApp, mounted: bool) -> None:
    """The outer tracker is the inner application's too, whether Datalyr is mounted there or not."""
    outer = make_app(set_visitor_cookie=True)
    inner = make_app(set_visitor_cookie=True) if mounted else Flask("inner")

    @inner.get("/")
    def page() -> str:
        track_below("Below")
        return str(request.datalyr.track("Inner"))

    @outer.get("/")
    def view() -> WerkzeugResponse:
        request.datalyr.identify("7")
        return WerkzeugResponse.from_app(inner, request.environ)

    response = outer.test_client().get("/")
    assert len(response.headers.getlist("Set-Cookie")) == 1
    events = outer.extensions["datalyr"].events
    assert [event.event for event in events] == ["$identify", "Below", "Inner"]
    assert {event.user_id for event in events} == {"7"}
    assert len({event.anonymous_id for event in events}) == 1
    assert not mounted or inner.extensions["datalyr"].events == []


def test_excluding_callable_may_ask_for_the_tracker(make_app: MakeApp) -> None:
    asked: list[Any] = []

    def ask(request: Any) -> None:
        asked.append(current_tracker())

    app = make_app(exclude=ask)
    app.add_url_rule("/", view_func=lambda: str(request.datalyr.track("Seen")))
    assert app.test_client().get("/").status_code == 200
    assert len(asked) == 1
