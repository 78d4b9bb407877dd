"""Who is logged in: Starlette's AuthenticationMiddleware, and a callable."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    UnauthenticatedUser,
    requires,
)
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient

from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
from tests.starlette.conftest import MakeRecording

ANN = uuid.UUID("3d5cf66d-203f-4009-8bb0-f3714da152a4")


def users(client: RecordingClient) -> list[str | None]:
    return [event.user_id for event in client.events]


class Account(BaseUser):
    """As the documentation shows it: `identity` is left to the base class, which raises."""

    is_authenticated = True
    display_name = "Ann"

    def __init__(self, key: object) -> None:
        self.id = key


class Named(BaseUser):
    """Have nothing but a name to be shown, which is nobody's id."""

    is_authenticated = True
    display_name = "Ann"

    def __init__(self, key: object) -> None: ...


class Numbered(Named):
    """Have a name that is no string."""

    username = 42


class Backend(AuthenticationBackend):
    def __init__(self, kind: Any) -> None:
        self.kind = kind

    async def authenticate(self, conn: HTTPConnection) -> Any:
        name = conn.headers.get("x-session")
        if name is None:
            return None
        if name == "down":
            raise AuthenticationError("the users' table is down")
        return AuthCredentials(["authenticated"]), self.kind(uuid.UUID(name))


async def buy(request: DatalyrRequest) -> Response:
    request.datalyr.track("Bought")
    return PlainTextResponse()


def app_with(backend: Any, client: RecordingClient, *, inside: bool) -> Starlette:
    """An application whose middleware for users is inside ours, or around it."""
    app = Starlette()
    app.add_route("/", buy)
    app.add_route("/own", requires("authenticated")(buy))
    if inside:
        app.add_middleware(AuthenticationMiddleware, backend=backend)
    app.add_middleware(DatalyrMiddleware, client=client)
    if not inside:
        app.add_middleware(AuthenticationMiddleware, backend=backend)
    return app


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    ("kind", "expected"), [(Account, str(ANN)), (Named, None), (Numbered, "42")]
)
def test_authentication_middleware(
    client: RecordingClient, inside: bool, kind: Any, expected: str | None
) -> None:
    browser = TestClient(app_with(Backend(kind), client, inside=inside))
    assert browser.get("/").status_code == 200
    assert browser.get("/own").status_code == 403
    assert browser.get("/own", headers={"X-Session": str(ANN)}).status_code == 200
    assert browser.get("/").status_code == 200
    assert users(client) == [None, expected, None]


@pytest.mark.parametrize("inside", [True, False])
def test_authentication_that_fails(client: RecordingClient, inside: bool) -> None:
    browser = TestClient(app_with(Backend(Account), client, inside=inside))
    assert browser.get("/", headers={"X-Session": "down"}).status_code == 400
    assert browser.get("/").status_code == 200
    assert users(client) == [None]


def test_user_who_logs_out_within_the_request(client: RecordingClient) -> None:
    async def log_out(request: DatalyrRequest) -> Response:
        request.datalyr.track("Leaving")
        request.scope["user"] = UnauthenticatedUser()
        request.datalyr.track("Left")
        return PlainTextResponse()

    app = app_with(Backend(Account), client, inside=True)
    app.add_route("/out", log_out)
    TestClient(app).get("/out", headers={"X-Session": str(ANN)})
    assert users(client) == [str(ANN), None]


class LazyUser:
    """A user whose row is fetched at the first question; the table is down."""

    @property
    def is_authenticated(self) -> bool:
        raise ConnectionError("the users' table is down")


def test_users_table_that_is_down(
    client: RecordingClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def authenticate(request: Request, call_next: Any) -> Response:
        request.scope["user"] = LazyUser()
        response: Response = await call_next(request)
        return response

    app = Starlette()
    app.add_route("/", buy)
    app.add_middleware(BaseHTTPMiddleware, dispatch=authenticate)
    app.add_middleware(DatalyrMiddleware, client=client)
    assert TestClient(app).get("/").status_code == 200
    assert users(client) == [None]
    assert "the users' table is down" in caplog.text


def test_user_is_asked_only_for_an_event(client: RecordingClient) -> None:
    """Neither the user nor the session is touched, so a shared cache may keep the page."""
    touched: list[str] = []

    class Untouched(BaseUser):
        @property
        def is_authenticated(self) -> bool:
            touched.append("user")
            return False

    async def view(request: DatalyrRequest) -> Response:
        return PlainTextResponse(str(request.datalyr.allowed))

    app = app_with(Backend(lambda key: Untouched()), client, inside=True)
    app.add_route("/silent", view)
    app.add_middleware(SessionMiddleware, secret_key="not a secret")
    browser = TestClient(app)
    response = browser.get("/silent", headers={"X-Session": str(ANN)})
    assert response.text == "True"
    assert not {"vary", "set-cookie"} & set(response.headers)
    assert touched == []
    browser.get("/", headers={"X-Session": str(ANN)})
    assert touched == ["user"]
    assert users(client) == [None]


@pytest.mark.parametrize("key", [ANN, 0, 7])
def test_callable_on_what_an_inner_middleware_left(
    make_recording: MakeRecording, key: object
) -> None:
    async def authenticate(request: Request, call_next: Any) -> Response:
        request.state.account = Account(key)
        response: Response = await call_next(request)
        return response

    client = make_recording(user_id=lambda request: request.state.account.id)
    app = Starlette()
    app.add_route("/", buy)
    app.add_middleware(BaseHTTPMiddleware, dispatch=authenticate)
    app.add_middleware(DatalyrMiddleware, client=client)
    assert TestClient(app).get("/").status_code == 200
    assert users(client) == [str(key)]
