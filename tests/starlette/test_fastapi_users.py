"""Who is logged in: fastapi-users, whose dependency finds the user."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend as UsersBackend
from fastapi_users.authentication import BearerTransport, JWTStrategy
from starlette.testclient import TestClient

from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
from datalyr_starlette.fastapi import DatalyrDep

ANN = uuid.UUID("3d5cf66d-203f-4009-8bb0-f3714da152a4")


def users(client: RecordingClient) -> list[str | None]:
    return [event.user_id for event in client.events]


class Member:
    """A model of fastapi-users, as its SQLAlchemy base has the fields."""

    def __init__(self, key: uuid.UUID) -> None:
        self.id = key
        self.email = "ann@shop.example"
        self.hashed_password = ""
        self.is_active = self.is_verified = True
        self.is_superuser = False


class Members:
    """The table of fastapi-users, without a database."""

    is_down = False

    async def get(self, key: uuid.UUID) -> Member | None:
        if self.is_down:
            raise ConnectionError("the users' table is down")
        return Member(key) if key == ANN else None


class Manager(UUIDIDMixin, BaseUserManager[Any, uuid.UUID]):
    """What fastapi-users asks an application for."""


def strategy() -> JWTStrategy[Any, uuid.UUID]:
    return JWTStrategy("no secret, but as long as it has to be", lifetime_seconds=3600)


@pytest.fixture
def members() -> Members:
    return Members()


@pytest.fixture
def browser(client: RecordingClient, members: Members) -> TestClient:
    async def manager() -> AsyncIterator[Manager]:
        yield Manager(members)  # type: ignore[arg-type]  # it has what is asked of it here

    backend = UsersBackend("jwt", BearerTransport("login"), strategy)
    fastapi_users = FastAPIUsers[Any, uuid.UUID](manager, [backend])
    logged_in = Depends(fastapi_users.current_user(optional=True))

    async def member(request: DatalyrRequest, user: Any = logged_in) -> Any:
        request.datalyr.user_id = user.id if user else None
        return user

    told_of = Depends(member)
    app = FastAPI()
    app.add_middleware(DatalyrMiddleware, client=client)

    @app.get("/")
    async def view(datalyr: DatalyrDep, user: Any = told_of) -> None:
        datalyr.track("Async")

    @app.get("/sync")
    def sync_view(datalyr: DatalyrDep, user: Any = told_of) -> None:
        datalyr.track("Sync")

    return TestClient(app, raise_server_exceptions=False)


def token_of(key: uuid.UUID) -> dict[str, str]:
    return {"Authorization": f"Bearer {asyncio.run(strategy().write_token(Member(key)))}"}


def test_fastapi_users(browser: TestClient, client: RecordingClient) -> None:
    ann, stranger = token_of(ANN), token_of(uuid.uuid4())
    for headers in (ann, stranger, {"Authorization": "Bearer made.up.token"}, {}):
        for path in ("/", "/sync"):
            assert browser.get(path, headers=headers).status_code == 200
    assert users(client) == [str(ANN)] * 2 + [None] * 6


def test_fastapi_users_whose_table_is_down(
    browser: TestClient, client: RecordingClient, members: Members
) -> None:
    members.is_down = True
    assert browser.get("/", headers=token_of(ANN)).status_code == 500
    assert browser.get("/").status_code == 200
    assert users(client) == [None]
