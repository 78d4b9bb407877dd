"""Beginning and end: the client closes after the application's own shutdown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from datalyr_core.event import Event
from datalyr_core.testing import RecordingClient, RecordingTransport
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
from tests.behaviour.servers import UVICORN, serving
from tests.starlette.raw import tracking_app
from tests.support.ingest import IngestServer


async def buy(request: DatalyrRequest) -> Response:
    request.datalyr.track("Bought")
    return PlainTextResponse()


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
    app.state.datalyr.track("app", "Started")
    yield {"mine": "here"}
    app.state.datalyr.track("app", "Stopped")


@pytest.fixture(params=[Starlette, FastAPI])
def app(request: pytest.FixtureRequest) -> Any:
    app = request.param(routes=[Route("/", buy)], lifespan=lifespan)
    app.add_middleware(DatalyrMiddleware, api_key="dk_test", transport=RecordingTransport())
    return app


def names(app: Any) -> list[str]:
    bodies = app.state.datalyr.config.transport.bodies
    return [Event.from_body(body).event for body in bodies]


def test_what_is_tracked_during_the_shutdown_is_delivered(app: Any) -> None:
    with TestClient(app) as browser:
        assert browser.get("/").status_code == 200
        assert browser.app_state["mine"] == "here"
        assert not app.state.datalyr.closed
    assert app.state.datalyr.closed
    assert names(app) == ["Started", "Bought", "Stopped"]


def test_application_that_is_started_again(app: Any) -> None:
    for _ in range(3):
        with TestClient(app) as browser:
            browser.get("/")
    assert names(app) == ["Started", "Bought", "Stopped"] * 3
    assert app.state.datalyr.closed


def test_given_client_is_closed_and_not_replaced(client: RecordingClient) -> None:
    app = Starlette(routes=[Route("/", buy)])
    app.add_middleware(DatalyrMiddleware, client=client)
    for _ in range(2):
        with TestClient(app) as browser:
            browser.get("/")
    assert app.state.datalyr is client
    assert client.closed
    assert client.stats.delivered == 1
    assert client.stats.dropped == {"closed": 1}


def test_startup_that_fails(client: RecordingClient) -> None:
    @asynccontextmanager
    async def failing(app: Any) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    app = Starlette(lifespan=failing)
    app.add_middleware(DatalyrMiddleware, client=client)
    with pytest.raises(OSError, match="no database"), TestClient(app):
        pass


def test_shutdown_that_fails_delivers_all_the_same(client: RecordingClient) -> None:
    @asynccontextmanager
    async def failing(app: Any) -> AsyncIterator[None]:
        yield
        app.state.datalyr.track("app", "Stopped")
        raise OSError("no database")

    app = Starlette(lifespan=failing)
    app.add_middleware(DatalyrMiddleware, client=client)
    with pytest.raises(OSError, match="no database"), TestClient(app):
        pass
    assert client.closed
    assert [event.event for event in client.events] == ["Stopped"]


def test_ingest_that_is_away_delays_the_end_by_the_exit_timeout() -> None:
    class Away:
        def send(self, body: bytes) -> Any:
            raise ConnectionError("the ingest is away")

    app = Starlette(routes=[Route("/", buy)])
    app.add_middleware(DatalyrMiddleware, api_key="dk_test", transport=Away(), exit_timeout=0.1)
    with TestClient(app) as browser:
        browser.get("/")
    assert app.state.datalyr.stats.dropped == {"close_timeout": 1}


# Under a real server. Nothing is sent before the end: one event does not make a batch.

PATIENT = {"flush_at": 100, "flush_interval": 3600}


def stopping_app() -> Starlette:
    app = Starlette(routes=[Route("/", buy)], lifespan=lifespan)
    app.add_middleware(DatalyrMiddleware)
    return app


def raw_app() -> DatalyrMiddleware:
    return DatalyrMiddleware(tracking_app)


@pytest.mark.parametrize(
    ("factory", "expected"),
    [("stopping_app", ["Started", "Bought", "Stopped"]), ("raw_app", ["$pageview", "Seen"])],
)
def test_sigterm_under_uvicorn(ingest: IngestServer, factory: str, expected: list[str]) -> None:
    command = (*UVICORN, "--factory", f"{__name__}:{factory}")
    with serving(command, ingest.url, **PATIENT) as server:
        assert server.get("/")[0] == 200
        assert ingest.requests == []
        server.terminate()
    assert sorted(ingest.names) == sorted(expected)


# Applications that know nothing of lifespan.


def messages(app: Any, *received: str) -> list[str]:
    """Run a lifespan; return what was sent."""
    waiting = [{"type": f"lifespan.{name}"} for name in received]
    sent: list[str] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"].removeprefix("lifespan."))

    asyncio.run(app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send))
    return sent


async def asserting(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def returning(scope: Any, receive: Any, send: Any) -> None:
    return


async def reading(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise NotImplementedError


@pytest.mark.parametrize("app", [asserting, returning])
def test_lifespan_is_answered_for_an_application_that_knows_none(
    client: RecordingClient, app: Any
) -> None:
    middleware = DatalyrMiddleware(app, client)
    client.track("app", "Waiting")
    assert messages(middleware, "startup", "shutdown") == ["startup.complete", "shutdown.complete"]
    assert client.closed
    assert client.stats.delivered == 1


def test_application_that_knows_lifespan_may_fail(client: RecordingClient) -> None:
    with pytest.raises(NotImplementedError):
        messages(DatalyrMiddleware(reading, client), "startup", "shutdown")
    assert not client.closed
