"""Flask-Security: who is logged in, by session and by token, and for how long they stay one."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from flask_security.core import Security, UserMixin
from flask_security.datastore import UserDatastore
from flask_security.decorators import auth_required
from flask_security.utils import login_user

from datalyr_core.testing import RecordingClient

ANN = uuid.UUID("3d5cf66d-203f-4009-8bb0-f3714da152a4")


class User(UserMixin):  # type: ignore[misc]  # it has no types
    """A model as Flask-Security asks for, without a database."""

    active = True
    fs_uniquifier = "first"

    def __init__(self, key: object) -> None:
        self.id = key
        self.roles: list[Any] = []


class Users(UserDatastore):  # type: ignore[misc]  # it has no types
    """The users' table, which can be down."""

    def __init__(self, user: User) -> None:
        super().__init__(User, object)
        self.user = user
        self.is_down = False

    def find_user(self, case_insensitive: bool = False, **query: Any) -> User | None:
        if self.is_down:
            raise ConnectionError("the users' table is down")
        wanted = query.get("fs_uniquifier")
        return self.user if wanted == self.user.fs_uniquifier else None

    def put(self, model: Any) -> Any:
        return model

    def commit(self) -> None: ...


@pytest.fixture(params=[7, ANN], ids=["int", "uuid"])
def users(request: pytest.FixtureRequest) -> Users:
    return Users(User(request.param))


@pytest.fixture
def browser(app: Flask, users: Users) -> FlaskClient:
    app.config.update(
        SECRET_KEY="not a secret",
        SECURITY_PASSWORD_SALT="nor this",
        SECURITY_PASSWORD_HASH="plaintext",
        SECURITY_PASSWORD_SCHEMES=["plaintext"],
        WTF_CSRF_ENABLED=False,
    )
    Security(app, users, register_blueprint=False)

    @app.errorhandler(ConnectionError)
    def sorry(error: ConnectionError) -> tuple[str, int]:
        return str(request.datalyr.track("Turned Away")), 503

    @app.get("/log-in")
    def log_in() -> str:
        login_user(users.user)
        return str(request.datalyr.track("Logged In"))

    @app.get("/buy")
    def buy() -> str:
        return str(request.datalyr.track("Bought"))

    @app.get("/own")
    @auth_required("token", "session")  # type: ignore[untyped-decorator]  # it has no types
    def own() -> str:
        return str(request.datalyr.track("Own"))

    return app.test_client()


def told(client: RecordingClient) -> list[tuple[str, str | None]]:
    return [(event.event, event.user_id) for event in client.events]


def test_user_is_the_primary_key(
    browser: FlaskClient, users: Users, client: RecordingClient
) -> None:
    key = str(users.user.id)
    for path in ("/buy", "/log-in", "/buy", "/own"):
        assert browser.get(path).status_code == 200
    assert told(client) == [("Bought", None), ("Logged In", key), ("Bought", key), ("Own", key)]


def test_user_stays_the_same_after_a_change_of_the_password(
    browser: FlaskClient, users: Users, client: RecordingClient
) -> None:
    """Flask-Security gives the user another `fs_uniquifier`, to end all other sessions."""
    browser.get("/log-in")
    with browser.application.app_context():
        users.set_uniquifier(users.user)
    assert users.user.get_id() != "first"
    browser.get("/buy")
    browser.get("/log-in")
    key = str(users.user.id)
    assert told(client) == [("Logged In", key), ("Bought", None), ("Logged In", key)]


def test_user_of_a_token(browser: FlaskClient, users: Users, client: RecordingClient) -> None:
    with browser.application.app_context():
        token = users.user.get_auth_token()
    other = browser.application.test_client()
    answer = other.get("/own", headers={"Authentication-Token": token})
    assert answer.status_code == 200
    assert told(client) == [("Own", str(users.user.id))]


def test_users_table_that_is_down(
    browser: FlaskClient, users: Users, client: RecordingClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Flask-Security itself fails then; the page that says so can track all the same."""
    browser.get("/log-in")
    users.is_down = True
    assert browser.get("/buy").status_code == 503
    assert told(client)[-1] == ("Turned Away", None)
    assert "could not be looked up: ConnectionError" in caplog.text
