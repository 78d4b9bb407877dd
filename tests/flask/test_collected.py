"""A request goes as soon as it is over; nothing of ours makes it wait for the collector."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    copy_current_request_context,
    render_template_string,
    request,
    stream_with_context,
)
from flask_login import LoginManager, UserMixin, login_user
from werkzeug.test import EnvironBuilder, run_wsgi_app

from datalyr_core import Tracker, current_tracker
from datalyr_core.testing import recording_client
from datalyr_flask import FlaskDatalyr, current_datalyr
from tests.flask.conftest import MakeApp
from tests.support.collecting import no_collector

View = Callable[[], Any]


def silent() -> str:
    return ""


def buy() -> str:
    request.datalyr.page()
    current_datalyr.identify("42")
    return str(request.datalyr.track("Bought"))


def log_in() -> str:
    user = UserMixin()
    user.id = "42"
    login_user(user)
    return buy()


def show() -> str:
    return render_template_string("{{ datalyr_browser_sdk() }}")


def stream() -> Response:
    tracker = request.datalyr

    def body() -> Iterator[str]:
        for _ in range(3):
            yield str(tracker.track("Streamed"))

    return Response(body())


def stream_of_the_request() -> Response:
    native = request._get_current_object()
    return Response(str(native.datalyr.track("Streamed")) for _ in range(3))


def stream_in_context() -> Response:
    @stream_with_context
    def body() -> Iterator[str]:
        for _ in range(3):
            yield str(request.datalyr.track("Streamed"))

    return Response(body())


def copy() -> str:
    """Track in a thread that ends while the view goes on."""

    @copy_current_request_context
    def work() -> None:
        request.datalyr.track("Worked")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)
    return buy()


def track_in_the_end(error: BaseException | None) -> None:
    tracker = current_tracker()
    assert tracker is not None
    tracker.track("Ended")


@pytest.mark.parametrize(
    "view",
    [silent, buy, log_in, show, stream, stream_of_the_request, stream_in_context, copy],
)
def test_requests_and_trackers_go_at_once(make_app: MakeApp, view: View) -> None:
    app = make_app(set_visitor_cookie=True, workspace_id="ws_1")
    app.secret_key = "not a secret"
    LoginManager(app).user_loader(lambda key: None)
    app.teardown_request(track_in_the_end)
    alive: list[weakref.ref[Any]] = []

    @app.get("/")
    def watched() -> Any:
        alive.append(weakref.ref(request._get_current_object()))
        alive.append(weakref.ref(request.datalyr))
        return view()

    with no_collector():
        for _ in range(2):
            body, status, _ = run_wsgi_app(app, EnvironBuilder("/").get_environ(), buffered=True)
            assert status == "200 OK"
            del body
        assert len(alive) == 4
        assert [each() for each in alive] == [None] * 4


def test_request_of_a_test_goes_at_once(app: Flask) -> None:
    app.add_url_rule("/", view_func=silent)  # Flask itself keeps the error of a missing page
    with no_collector():
        with app.test_request_context("/"):
            request.datalyr.track("Seen")
            alive = weakref.ref(request._get_current_object())
        assert alive() is None


def test_what_is_known_outlives_the_tracker(make_app: MakeApp) -> None:
    """Whoever has the request finds the same visitor in it, long after its end."""
    app = make_app()
    requests: list[Any] = []

    @app.get("/")
    def view() -> str:
        requests.append(request._get_current_object())
        request.datalyr.identify("42")
        return str(request.datalyr.anonymous_id)

    visitors = [app.test_client().get("/").text for _ in range(2)]
    assert len(set(visitors)) == 2
    for native, visitor in zip(requests, visitors, strict=True):
        assert (native.datalyr.anonymous_id, native.datalyr.user_id) == (visitor, "42")
        native.datalyr.track("Late")
    late = app.extensions["datalyr"].events[-2:]
    assert [(event.anonymous_id, event.user_id) for event in late] == [
        (visitor, "42") for visitor in visitors
    ]


def test_visitor_who_opted_out_stays_so_after_the_end(make_app: MakeApp) -> None:
    app = make_app()
    requests: list[Any] = []
    app.add_url_rule("/", view_func=lambda: str(requests.append(request._get_current_object())))
    app.test_client().get("/", headers={"Sec-GPC": "1"})
    assert requests[0].datalyr.track("Late") is None
    assert app.extensions["datalyr"].stats.dropped == {"consent": 1}


def test_tracker_is_one_as_long_as_somebody_has_it(app: Flask) -> None:
    kept: list[tuple[Any, Tracker]] = []

    @app.get("/")
    def view() -> str:
        kept.append((request._get_current_object(), request.datalyr))
        return ""

    app.test_client().get("/")
    native, tracker = kept[0]
    assert native.datalyr is tracker


def test_end_of_a_copied_context_takes_nothing_from_the_view(make_app: MakeApp) -> None:
    """The copy tears the request down; the view goes on, and its visitor gets the cookie."""
    app = make_app(set_visitor_cookie=True)

    @app.get("/")
    def view() -> Response:
        request.datalyr.identify("42")
        thread = threading.Thread(target=copy_current_request_context(silent))
        thread.start()
        thread.join(20)
        assert current_tracker() is request.datalyr
        request.datalyr.track("After")
        return Response("no page", mimetype="text/plain")

    response = app.test_client().get("/")
    _, after = app.extensions["datalyr"].events
    assert after.user_id == "42"
    assert f"__dl_visitor_id={after.anonymous_id};" in response.headers["Set-Cookie"]


def test_applications_and_clients_are_collected() -> None:
    alive: list[weakref.ref[object]] = []

    def serve() -> None:
        app = Flask(__name__)
        client = recording_client()
        FlaskDatalyr(app, client)
        app.add_url_rule("/", view_func=buy)
        alive.extend(map(weakref.ref, (app, client)))
        app.test_client().get("/")
        assert len(client.events) == 3
        client.close()

    serve()
    gc.collect()
    assert [each() for each in alive] == [None] * 2
