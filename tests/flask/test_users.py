"""Who is logged in: flask-login in every state, and a callable."""

from __future__ import annotations

import gc
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flask.globals
import pytest
from flask import (
    Flask,
    Request,
    Response,
    g,
    has_request_context,
    request,
    session,
    stream_with_context,
)
from flask.testing import FlaskClient
from flask_login import (
    AnonymousUserMixin,
    LoginManager,
    UserMixin,
    login_required,
    login_user,
    logout_user,
)

from datalyr_core import Tracker
from datalyr_core.testing import RecordingClient
from tests.flask.conftest import MakeApp


class User(UserMixin):
    def __init__(self, key: str) -> None:
        self.id = key

    def __len__(self) -> int:  # an empty cart, say: the user is false, and still the user
        return 0


@pytest.fixture
def loads() -> list[str]:
    """The users who were looked up."""
    return []


@pytest.fixture
def shop(app: Flask, loads: list[str]) -> Flask:
    """An application with flask-login, where `?user=42` logs in."""
    app.secret_key = "not a secret"
    manager = LoginManager(app)

    @manager.user_loader
    def load(key: str) -> User:
        loads.append(key)
        if key == "broken":
            raise RuntimeError("the users' database is away")
        return User(key)

    @app.get("/login")
    def login() -> str:
        login_user(User(request.args["user"]))
        return str(request.datalyr.track("Logged In"))

    @app.get("/buy")
    def buy() -> str:
        return str(request.datalyr.track("Bought"))

    @app.get("/silent")
    def silent() -> str:
        return ""

    @app.get("/logout")
    def logout() -> str:
        request.datalyr.track("Leaving")
        logout_user()
        return str(request.datalyr.track("Left"))

    return app


def users(client: RecordingClient) -> list[str | None]:
    return [event.user_id for event in client.events]


def test_user_of_flask_login(shop: Flask, client: RecordingClient) -> None:
    browser = shop.test_client()
    browser.get("/buy")
    browser.get("/login?user=42")
    browser.get("/buy")
    browser.get("/logout")
    assert users(client) == [None, "42", "42", "42", None]


@pytest.mark.parametrize(
    ("key", "expected"), [(7, "7"), (uuid.UUID(int=1), str(uuid.UUID(int=1))), (b"7", None)]
)
def test_id_that_is_no_string(
    shop: Flask, client: RecordingClient, key: object, expected: str | None
) -> None:
    """flask-login asks for a string, and takes what it gets."""

    class Numbered(User):
        def get_id(self) -> Any:
            return key

    @shop.get("/own")
    def own() -> str:
        g._login_user = Numbered("of the session")
        return str(request.datalyr.track("Own"))

    assert shop.test_client().get("/own").status_code == 200
    assert users(client) == [expected]


def test_user_whose_row_is_gone(app: Flask, client: RecordingClient) -> None:
    """A loader's None is an anonymous user, of the application's own class maybe."""

    class Guest(AnonymousUserMixin):  # type: ignore[misc]  # it has no types
        id = 7

        def get_id(self) -> str:
            return "guest"

    app.secret_key = "not a secret"
    manager = LoginManager(app)
    manager.anonymous_user = Guest
    manager.user_loader(lambda key: None)

    @app.get("/")
    def view() -> str:
        session["_user_id"] = "42"
        return str(request.datalyr.track("Seen"))

    assert app.test_client().get("/").status_code == 200
    assert users(client) == [None]


def test_user_is_looked_up_only_for_an_event(shop: Flask, loads: list[str]) -> None:
    browser = shop.test_client()
    browser.get("/login?user=42")
    browser.get("/silent")
    assert loads == []
    browser.get("/buy")
    assert loads == ["42"]


def test_session_stays_closed_for_who_tracks_nothing(app: Flask) -> None:
    """Reading it adds `Vary: Cookie`, which defeats caches."""
    app.secret_key = "not a secret"
    app.add_url_rule("/", view_func=lambda: str(request.datalyr.allowed))
    assert "Vary" not in app.test_client().get("/").headers


def test_loader_that_raises_is_no_user(
    shop: Flask, client: RecordingClient, caplog: pytest.LogCaptureFixture
) -> None:
    browser = shop.test_client()
    browser.get("/login?user=broken")
    assert browser.get("/buy").status_code == 200
    assert users(client) == ["broken", None]
    assert "the users' database is away" in caplog.text


def test_flask_login_that_is_imported_and_not_set_up(app: Flask, client: RecordingClient) -> None:
    app.add_url_rule("/", view_func=lambda: str(request.datalyr.track("Seen")))
    assert app.test_client().get("/").status_code == 200
    assert users(client) == [None]


def test_flask_login_that_is_half_set_up(
    app: Flask, client: RecordingClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a loader, flask-login raises for whoever asks for the user of a session."""
    app.secret_key = "not a secret"
    LoginManager(app)
    app.add_url_rule("/", view_func=lambda: str(request.datalyr.track("Seen")))
    browser = app.test_client()
    with browser.session_transaction() as session:
        session["_user_id"] = "42"
    assert browser.get("/").status_code == 200
    assert users(client) == [None]
    assert "Missing user_loader" in caplog.text


def test_flask_login_that_is_not_imported(
    shop: Flask, client: RecordingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "flask_login")
    assert shop.test_client().get("/buy").status_code == 200
    assert users(client) == [None]


def test_callable_in_place_of_flask_login(make_app: MakeApp) -> None:
    def account(request: Request) -> Any:
        return request.headers.get("X-Account", type=int)

    app = make_app(user_id=account)
    app.add_url_rule("/", view_func=lambda: str(request.datalyr.track("Seen")))
    app.test_client().get("/", headers={"X-Account": "0"})
    app.test_client().get("/")
    assert users(app.extensions["datalyr"]) == ["0", None]


@pytest.mark.parametrize("with_context", [True, False])
def test_user_in_a_stream(shop: Flask, client: RecordingClient, with_context: bool) -> None:
    @shop.get("/stream")
    @login_required
    def stream() -> Response:
        tracker = request.datalyr

        def body() -> Iterator[str]:
            yield str(tracker.track("Streamed"))

        return Response(stream_with_context(body()) if with_context else body())

    browser = shop.test_client()
    browser.get("/login?user=42")
    assert browser.get("/stream").status_code == 200
    assert users(client) == ["42", "42"]


def read(browser: FlaskClient, url: str) -> int:
    """Ask, and read the answer to its end."""
    with browser.get(url) as response:
        assert response.data is not None
        return response.status_code


def in_a_generator(tracker: Tracker) -> Any:
    def body() -> Iterator[str]:
        for _ in range(3):
            yield str(tracker.track("Streamed"))

    return Response(body())


def in_a_thread(tracker: Tracker) -> Any:
    def work() -> None:
        for _ in range(3):
            tracker.track("Worked")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    return ""


ELSEWHERE = [in_a_generator, in_a_thread]  # where Flask has no request context
Place = Callable[[Tracker], Any]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_user_where_no_context_is(
    shop: Flask, client: RecordingClient, loads: list[str], place: Place
) -> None:
    """The view does not ask who is logged in, so that flask-login has not loaded anybody."""
    shop.add_url_rule("/later", view_func=lambda: place(request.datalyr))
    browser = shop.test_client()
    browser.get("/login?user=42")
    assert read(browser, "/later") == 200
    browser.get("/logout")
    read(browser, "/later")
    assert users(client) == ["42", *["42"] * 3, "42", None, *[None] * 3]
    assert loads == ["42", "42"]  # once for each of the requests: /later, /logout


def test_user_in_a_thread_that_outlives_the_request(shop: Flask, client: RecordingClient) -> None:
    kept: list[Tracker] = []

    @shop.get("/keep")
    def keep() -> str:
        kept.append(request.datalyr)
        return ""

    for user in ("1", "2"):
        browser = shop.test_client()
        browser.get(f"/login?user={user}")
        browser.get("/keep")
    for tracker in kept:
        in_a_thread(tracker)
    assert users(client) == ["1", "2", *["1"] * 3, *["2"] * 3]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_callable_that_needs_a_context_where_none_is(
    make_app: MakeApp, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str | None] = []

    def account(native: Request) -> str | None:
        asked.append(session.get("user"))
        return asked[-1]

    app = make_app(user_id=account)
    app.secret_key = "not a secret"

    @app.get("/become/<user>")
    def become(user: str) -> Any:
        session["user"] = user
        return place(request.datalyr)

    browser = app.test_client()
    read(browser, "/become/ada")
    read(browser, "/become/bob")  # as which the browser came does not count
    assert users(app.extensions["datalyr"]) == ["ada"] * 3 + ["bob"] * 3
    assert asked == ["ada", "bob"]
    assert caplog.text == ""


@pytest.mark.parametrize("place", ELSEWHERE)
def test_look_up_elsewhere_has_an_application_context_of_its_own(shop: Flask, place: Place) -> None:
    """Its database session, say, is closed by the teardown and is not the view's."""
    loaded: list[object] = []
    torn_down: list[object] = []

    @shop.login_manager.user_loader  # type: ignore[attr-defined]  # flask-login has put it there
    def load(key: str) -> User:
        loaded.append(g._get_current_object())
        return User(key)

    @shop.teardown_appcontext
    def tear_down(error: BaseException | None) -> None:
        torn_down.append(g._get_current_object())

    shop.add_url_rule("/later", view_func=lambda: place(request.datalyr))
    browser = shop.test_client()
    browser.get("/login?user=42")
    torn_down.clear()
    read(browser, "/later")
    assert len(torn_down) == 2  # the request's and the look-up's
    assert torn_down.count(*loaded) == 1


def test_threads_that_look_up_at_once(make_app: MakeApp) -> None:
    both = threading.Barrier(2)

    def account(native: Request) -> str:
        both.wait(10)  # until the other thread also asks
        return "ada"

    app = make_app(user_id=account)

    @app.get("/")
    def view() -> str:
        tracker = request.datalyr
        threads = [threading.Thread(target=tracker.track, args=["Worked"]) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return ""

    assert app.test_client().get("/").status_code == 200
    assert users(app.extensions["datalyr"]) == ["ada"] * 2


@pytest.mark.parametrize("place", ELSEWHERE)
def test_look_up_elsewhere_knows_what_the_request_knows(make_app: MakeApp, place: Place) -> None:
    """And closes nothing of it: the view may still need it."""
    app = make_app(user_id=lambda native: g.get("user"))
    closed: list[str] = []

    @app.before_request
    def begin() -> None:
        g.user, g.database = "ada", "the view's"

    @app.teardown_appcontext
    def close(error: BaseException | None) -> None:
        if hasattr(g, "database"):
            closed.append(g.database)

    @app.get("/")
    def view() -> Any:
        answer = place(request.datalyr)
        assert closed == []
        return answer

    assert read(app.test_client(), "/") == 200
    assert users(app.extensions["datalyr"]) == ["ada"] * 3
    assert closed == ["the view's"]


def test_look_up_where_an_application_context_has_no_request(
    shop: Flask, client: RecordingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is since Flask 3.2, where contexts of applications and of requests are one kind."""
    current: Any = getattr(flask.globals, "_cv_request", None)
    if current is None:
        pytest.skip("in this Flask it is so in every test")
    app_context = shop.app_context

    @contextmanager
    def without_request() -> Iterator[None]:
        token = current.set(None)
        yield
        current.reset(token)

    monkeypatch.setattr(
        shop, "app_context", lambda: (without_request if has_request_context() else app_context)()
    )
    shop.add_url_rule("/later", view_func=lambda: in_a_thread(request.datalyr))
    browser = shop.test_client()
    browser.get("/login?user=42")
    browser.get("/later")
    assert users(client) == ["42"] * 4


def test_user_whom_flask_login_has_found_is_not_loaded_again(
    shop: Flask, client: RecordingClient, loads: list[str]
) -> None:
    shop.add_url_rule("/later", view_func=login_required(lambda: in_a_generator(request.datalyr)))
    browser = shop.test_client()
    browser.get("/login?user=42")
    read(browser, "/later")
    assert users(client) == ["42"] * 4
    assert loads == ["42"]


def test_user_whose_database_session_is_closed_is_loaded_again(
    shop: Flask, client: RecordingClient, loads: list[str]
) -> None:
    class Detached(User):
        def get_id(self) -> str:
            raise LookupError("this instance is not bound to a session")

    @shop.get("/later")
    def later() -> Any:
        g._login_user = Detached("42")
        return in_a_generator(request.datalyr)

    browser = shop.test_client()
    browser.get("/login?user=42")
    read(browser, "/later")
    assert users(client) == ["42"] * 4
    assert loads == ["42"]


def test_stream_that_tracks_nothing_costs_nothing(shop: Flask, loads: list[str]) -> None:
    @shop.get("/quiet")
    def quiet() -> Response:
        tracker = request.datalyr
        return Response(str(tracker.allowed) for _ in range(3))

    browser = shop.test_client()
    browser.get("/login?user=42")
    assert browser.get("/quiet").text == "TrueTrueTrue"
    assert loads == []


@pytest.mark.parametrize("place", ELSEWHERE)
def test_look_up_elsewhere_keeps_no_request(shop: Flask, place: Place) -> None:
    alive: list[weakref.ref[Any]] = []

    @shop.get("/later")
    def later() -> Any:
        alive.append(weakref.ref(request._get_current_object()))
        alive.append(weakref.ref(g._get_current_object()))
        return place(request.datalyr)

    browser = shop.test_client()
    browser.get("/login?user=42")
    read(browser, "/later")
    gc.collect()
    assert [each() for each in alive] == [None, None]


def test_callable_never_tells_the_user_of_another_request(make_app: MakeApp) -> None:
    app = make_app(user_id=lambda native: session.get("user"))
    app.secret_key = "not a secret"
    with app.test_request_context("/"):
        session["user"] = "outer"
        outer = request.datalyr
        stranger = app.request_class({**request.environ})
        del stranger.environ["datalyr.tracker"]
        with app.test_request_context("/"):
            session["user"] = "inner"
            assert (outer.user_id, request.datalyr.user_id) == ("outer", "inner")
            assert stranger.datalyr.user_id is None


def test_user_is_never_that_of_another_request(shop: Flask, make_app: MakeApp) -> None:
    """A tracker that is used where Flask serves somebody else knows its own user, or none."""
    other = make_app()
    other.secret_key = "not a secret"
    LoginManager(other)
    with shop.test_request_context("/"), other.test_request_context("/"):
        login_user(User("inner"))
        inner = request.datalyr
        with shop.test_request_context("/"):
            login_user(User("outer"))
            late = request._get_current_object()
            assert (inner.user_id, request.datalyr.user_id) == ("inner", "outer")
            with other.test_request_context("/"):
                login_user(User("stranger"))
                assert late.datalyr.user_id == "outer"
    assert inner.user_id == "inner"


def test_tracker_that_is_made_in_anothers_context_has_no_user(
    shop: Flask, make_app: MakeApp
) -> None:
    other = make_app()
    with shop.test_request_context("/"):
        login_user(User("outer"))
        late = request._get_current_object()
        with other.test_request_context("/"):
            assert late.datalyr.user_id is None
