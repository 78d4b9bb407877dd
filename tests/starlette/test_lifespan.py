"""Beginning and end: the client closes after the application's own shutdown."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import anyio.to_thread
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from datalyr_core import ConfigurationError, Datalyr, lifecycle
from datalyr_core.event import Event
from datalyr_core.testing import RecordingClient, RecordingTransport
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
from tests.behaviour.servers import UVICORN, serving
from tests.starlette.conftest import MakeRecording
from tests.starlette.raw import http_scope, served, tracking_app
from tests.support.ingest import IngestServer, slow
from tests.support.waiting import eventually


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
    # One thread delivers in the order of the calls; two would overtake each other now and then.
    options = {"transport": RecordingTransport(), "concurrency": 1}
    app.add_middleware(DatalyrMiddleware, api_key="dk_test", **options)
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


def test_given_client_closes_and_opens_with_the_application(client: RecordingClient) -> None:
    app = Starlette(routes=[Route("/", buy)])
    app.add_middleware(DatalyrMiddleware, client=client)
    for _ in range(2):
        with TestClient(app) as browser:
            browser.get("/")
        assert client.closed
    TestClient(app).get("/")
    assert app.state.datalyr is client
    assert not client.closed
    assert len(client.events) == 3


def test_client_that_is_closed_before_the_end_stays_closed(client: RecordingClient) -> None:
    app = Starlette(routes=[Route("/", buy)])
    app.add_middleware(DatalyrMiddleware, client=client)
    with TestClient(app) as browser:
        client.close()
    browser.get("/")
    assert client.closed


def test_client_that_the_application_closed_stays_closed(app: Any) -> None:
    browser = TestClient(app)
    for _ in range(2):
        browser.get("/")
        app.state.datalyr.close()
    assert app.state.datalyr.stats.dropped == {"closed": 1}


def test_application_that_serves_on_after_its_lifespan(app: Any) -> None:
    with TestClient(app) as browser:
        browser.get("/")
    assert TestClient(app).get("/").status_code == 200
    assert not app.state.datalyr.closed
    app.state.datalyr.close()
    assert names(app) == ["Started", "Bought", "Stopped", "Bought"]


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
    assert client.stats.delivered == 1
    assert [event.event for event in client.events] == ["Stopped"]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("failing", [True, False])
def test_application_that_breaks_down_at_its_end(
    client: RecordingClient, given: bool, failing: bool
) -> None:
    """It sends no word of its shutdown, but raises, or is silent."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        middleware.client.track("app", "Stopped")
        if failing:
            raise OSError("no database")

    own = {"api_key": "dk_test", "transport": RecordingTransport()}
    middleware = DatalyrMiddleware(app, client) if given else DatalyrMiddleware(app, **own)
    with pytest.raises(OSError, match="no database") if failing else nullcontext():
        messages(middleware, "startup", "shutdown")
    assert middleware.client.stats.accepted == middleware.client.stats.delivered > 0
    assert middleware.client.closed


class Away:
    def send(self, body: bytes) -> Any:
        raise ConnectionError("the ingest is away")


def test_ingest_that_is_away_delays_the_end_by_the_exit_timeout() -> None:
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


def app_with_a_client() -> Starlette:
    app = Starlette(routes=[Route("/", buy)], lifespan=lifespan)
    app.add_middleware(DatalyrMiddleware, client=Datalyr.from_env())
    return app


def mounting_app(**options: Any) -> Starlette:
    """No lifespan reaches a mounted application."""
    mounted = Starlette(routes=[Route("/", buy)])
    mounted.add_middleware(DatalyrMiddleware, **options)
    return Starlette(routes=[Mount("/", mounted)])


def mounting_app_with_a_client() -> Starlette:
    return mounting_app(client=Datalyr.from_env())


def raw_app() -> DatalyrMiddleware:
    return DatalyrMiddleware(tracking_app)


def breaking_app() -> DatalyrMiddleware:
    """It knows lifespan, and fails at its shutdown."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await tracking_app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise OSError("no database")

    return DatalyrMiddleware(app)


WHOLE, RAW = ["Bought", "Started", "Stopped"], ["$pageview", "Seen"]


@pytest.mark.parametrize(
    ("factory", "options", "expected"),
    [
        ("stopping_app", (), WHOLE),
        ("stopping_app", ("--lifespan", "off"), ["Bought"]),
        ("app_with_a_client", (), WHOLE),
        ("app_with_a_client", ("--lifespan", "off"), ["Bought"]),
        ("mounting_app", (), ["Bought"]),
        ("mounting_app_with_a_client", (), ["Bought"]),
        ("raw_app", (), RAW),
        ("breaking_app", (), RAW),
    ],
)
def test_sigterm_under_uvicorn(
    ingest: IngestServer, factory: str, options: tuple[str, ...], expected: list[str]
) -> None:
    command = (*UVICORN, *options, "--factory", f"{__name__}:{factory}")
    with serving(command, ingest.url, **PATIENT) as server:
        assert server.get("/")[0] == 200
        assert ingest.requests == []
        assert server.terminate() == -signal.SIGTERM  # as without us
    assert sorted(ingest.names) == expected


def lingering_app() -> Starlette:
    """Its view ends only when the process is about to."""

    async def linger(request: DatalyrRequest) -> Response:
        request.datalyr.track("Came")
        await anyio.to_thread.run_sync(eventually, lifecycle.is_ending, 20)
        request.datalyr.track("Went")
        return PlainTextResponse("bye", background=BackgroundTask(request.datalyr.track, "Gone"))

    mounted = Starlette(routes=[Route("/", linger)])
    mounted.add_middleware(DatalyrMiddleware)
    return Starlette(routes=[Mount("/", mounted)])


def test_requests_that_outlive_the_sigterm(ingest: IngestServer) -> None:
    """They are answered, and the server waits for their events, where no lifespan came."""
    ingest.answer = slow(0.2)  # one after the other: that is longer than the server's own end
    command = (*UVICORN, "--factory", f"{__name__}:lingering_app")
    with (
        serving(command, ingest.url, flush_at=3, flush_interval=3600, concurrency=1) as server,
        ThreadPoolExecutor(3) as clients,
    ):
        answers = [clients.submit(server.get, "/") for _ in range(3)]
        assert eventually(lambda: len(ingest.accepted) == 3, 20)  # all three are under way
        server.terminate()
        assert [answer.result() for answer in answers] == [(200, "bye")] * 3
    assert sorted(ingest.names) == ["Came"] * 3 + ["Gone"] * 3 + ["Went"] * 3


@pytest.mark.parametrize("path", ["/", "/excluded"])
def test_what_a_view_tracked_is_delivered_before_it_ends(
    monkeypatch: pytest.MonkeyPatch, make_recording: MakeRecording, path: str
) -> None:
    """Also where the request itself is excluded or fails."""
    client = make_recording(exclude=["/excluded"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        client.track("app", "Failed")
        raise OSError("no database")

    monkeypatch.setattr(lifecycle, "_ending", True)
    with pytest.raises(OSError, match="no database"):
        served(client, http_scope(path=path), app)
    assert client.stats.delivered == 1


def test_start_up_that_fails_is_no_lack_of_lifespan(ingest: IngestServer) -> None:
    """The server sees what it would see without us."""
    command = (*UVICORN, "--lifespan", "on", "--factory", f"{__name__}:unstartable_app")
    with serving(command, ingest.url) as server:
        assert server.process.wait(20) == UVICORN_FAILED


UVICORN_FAILED = 3


def unstartable_app() -> DatalyrMiddleware:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("the database is down")

    return DatalyrMiddleware(app)


def test_wrong_set_up_is_a_start_up_that_fails(ingest: IngestServer) -> None:
    command = (*UVICORN, "--factory", f"{__name__}:stopping_app")
    with serving(command, ingest.url, api_key="") as server:
        assert server.process.wait(20) == UVICORN_FAILED


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


def test_lifespan_is_answered_for_an_application_that_returns(client: RecordingClient) -> None:
    middleware = DatalyrMiddleware(returning, client)
    client.track("app", "Waiting")
    assert messages(middleware, "startup", "shutdown") == ["startup.complete", "shutdown.complete"]
    assert client.stats.delivered == 1


@pytest.mark.parametrize(("app", "error"), [(asserting, AssertionError), (reading, Exception)])
def test_error_is_passed_on(client: RecordingClient, app: Any, error: type[Exception]) -> None:
    """Whether it means that the application knows no lifespan is for the server to say."""
    with pytest.raises(error):
        messages(DatalyrMiddleware(app, client), "startup", "shutdown")
    assert not client.closed


# A set-up that is wrong.


def unconfigured_app(**options: Any) -> Starlette:
    app = Starlette(routes=[Route("/", buy)])
    app.add_middleware(DatalyrMiddleware, **options)
    return app


def test_wrong_set_up_is_told_to_the_server_without_the_key() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    app = unconfigured_app(api_key="dk_secret key", flush_at="many")
    with pytest.raises(ConfigurationError):
        asyncio.run(app({"type": "lifespan"}, receive, send))  # type: ignore[arg-type]  # a server's own are wider
    (failed,) = sent
    assert failed["type"] == "lifespan.startup.failed"
    assert "api_key" in failed["message"]
    assert "flush_at" in failed["message"]
    assert "secret" not in failed["message"]


def test_wrong_set_up_in_tests_of_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATALYR_API_KEY", raising=False)
    app = unconfigured_app()
    frames = set()
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="api_key") as caught:
            TestClient(app).get("/")
        frames.add(len(caught.traceback))
    assert len(frames) == 1  # it does not grow
    with pytest.raises(ConfigurationError, match="api_key"), TestClient(app):
        pass
    with pytest.raises(ConfigurationError, match="api_key"):
        DatalyrMiddleware(tracking_app)
