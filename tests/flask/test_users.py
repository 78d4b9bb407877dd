"""Who is logged in: flask-login in every state, and a callable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Request, Response, request, stream_with_context
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user

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
