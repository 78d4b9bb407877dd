"""Datalyr in Starlette: every kind of view, and every neighbour in the middleware's stack."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.background import BackgroundTask
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

import datalyr_starlette
from datalyr_core import ConfigurationError, current_tracker
from datalyr_core.testing import RecordingClient, RecordingTransport
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest, get_tracker
from tests.starlette.conftest import MakeRecording

VISITOR = {"Cookie": "__dl_visitor_id=v"}


def track_below(event: str) -> None:
    tracker = current_tracker()
    assert tracker is not None
    tracker.track(event)


def told(client: RecordingClient) -> list[tuple[str, str]]:
    return [(event.event, event.anonymous_id) for event in client.events]


def app_of(client: RecordingClient, *routes: Any) -> Starlette:
    app = Starlette(routes=routes)
    app.add_middleware(DatalyrMiddleware, client=client)
    return app


async def buy(request: DatalyrRequest) -> Response:
    request.datalyr.track("Bought")
    track_below("Below")
    return PlainTextResponse()


BOUGHT = [("Bought", "v"), ("Below", "v")]


def test_public_names() -> None:
    assert sorted(datalyr_starlette.__all__) == [
        "DatalyrMiddleware",
        "DatalyrRequest",
        "get_tracker",
    ]


def test_the_ways_lead_to_one_tracker(client: RecordingClient) -> None:
    def view(request: Request) -> Response:
        tracker = get_tracker(request)
        assert tracker is current_tracker() is request.state.datalyr is request.datalyr
        assert DatalyrRequest(request.scope).datalyr is tracker
        assert request.app.state.datalyr is tracker.client is client
        return PlainTextResponse()

    assert TestClient(app_of(client, Route("/", view))).get("/").status_code == 200


def test_synchronous_endpoint(client: RecordingClient) -> None:
    """It runs in a thread of the pool."""

    def view(request: DatalyrRequest) -> Response:
        request.datalyr.track("Bought")
        track_below("Below")
        return PlainTextResponse()

    TestClient(app_of(client, Route("/", view))).get("/", headers=VISITOR)
    assert told(client) == BOUGHT


def test_missing_middleware() -> None:
    async def view(request: Request) -> Response:
        assert current_tracker() is None
        with pytest.raises(RuntimeError, match=r"app.add_middleware\(DatalyrMiddleware, api_key="):
            _ = request.datalyr
        return PlainTextResponse()

    assert TestClient(Starlette(routes=[Route("/", view)])).get("/").status_code == 200


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keywords win over the environment."""
    monkeypatch.setenv("DATALYR_API_KEY", "dk_env")
    monkeypatch.setenv("DATALYR_FLUSH_AT", "50")
    middleware = DatalyrMiddleware(Starlette(), flush_at=7)
    with middleware.client as client:
        assert (client.config.api_key, client.config.flush_at) == ("dk_env", 7)


def test_all_problems_are_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALYR_TIMEOUT", "long")
    with pytest.raises(ConfigurationError) as caught:
        DatalyrMiddleware(Starlette(), flush_att=7)
    for problem in ("flush_att is no option; write 'flush_at'", "timeout", "api_key is missing"):
        assert problem in str(caught.value)


def test_client_and_options_are_refused(client: RecordingClient) -> None:
    with pytest.raises(ConfigurationError, match="got a client and also debug, flush_at; give"):
        DatalyrMiddleware(Starlette(), client, debug=True, flush_at=1)


def test_streams_track_to_their_end(client: RecordingClient) -> None:
    async def body(request: Request) -> AsyncIterator[str]:
        for number in range(2):
            request.datalyr.track(f"Async {number}")
            track_below(f"Below {number}")
            yield "."

    def sync_body() -> Iterator[str]:
        for number in range(2):
            track_below(f"Sync {number}")
            yield "."

    async def view(request: Request) -> Response:
        return StreamingResponse(body(request))

    async def sync_view(request: Request) -> Response:
        return StreamingResponse(sync_body())

    browser = TestClient(app_of(client, Route("/", view), Route("/sync", sync_view)))
    assert browser.get("/", headers=VISITOR).text == ".."
    assert browser.get("/sync", headers=VISITOR).text == ".."
    names = ["Async 0", "Below 0", "Async 1", "Below 1", "Sync 0", "Sync 1"]
    assert told(client) == [(name, "v") for name in names]


def test_background_tasks(client: RecordingClient) -> None:
    async def later() -> None:
        track_below("Async Task")

    async def view(request: Request) -> Response:
        function = later if request.url.path == "/async" else track_below
        args = () if function is later else ("Sync Task",)
        return PlainTextResponse(background=BackgroundTask(function, *args))

    browser = TestClient(app_of(client, Route("/async", view), Route("/sync", view)))
    browser.get("/async", headers=VISITOR)
    browser.get("/sync", headers=VISITOR)
    assert told(client) == [("Async Task", "v"), ("Sync Task", "v")]


def test_exceptions(client: RecordingClient) -> None:
    async def view(request: Request) -> Response:
        request.datalyr.track("Began")
        raise {"/handled": KeyError, "/unhandled": ValueError}[request.url.path]

    async def handled(request: Request, error: Exception) -> Response:
        request.datalyr.track("Handled")
        track_below("Below")
        return PlainTextResponse("sorry", 418)

    app = app_of(client, Route("/handled", view), Route("/unhandled", view))
    app.add_exception_handler(KeyError, handled)
    browser = TestClient(app, raise_server_exceptions=False)
    assert browser.get("/handled", headers=VISITOR).status_code == 418
    assert browser.get("/unhandled", headers=VISITOR).status_code == 500
    assert browser.get("/missing").status_code == 404
    assert [name for name, _ in told(client)] == ["Began", "Handled", "Below", "Began"]


def test_websocket(client: RecordingClient) -> None:
    async def chat(websocket: WebSocket) -> None:
        websocket.datalyr.track("Opened")
        await websocket.accept()
        async for text in websocket.iter_text():
            track_below(text)
            await websocket.send_text(text)

    browser = TestClient(app_of(client, WebSocketRoute("/chat", chat)))
    for visitor in ("v", "w"):
        headers = {"Cookie": f"__dl_visitor_id={visitor}"}
        with browser.websocket_connect("/chat", headers=headers) as websocket:
            websocket.send_text(f"Said {visitor}")
            assert websocket.receive_text() == f"Said {visitor}"
    assert told(client) == [("Opened", "v"), ("Said v", "v"), ("Opened", "w"), ("Said w", "w")]


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> Any:
        name = conn.headers.get("x-session")
        return (AuthCredentials(), SimpleUser(name)) if name else None


class Tracking(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        request.datalyr.track("Afterwards")
        return response


@pytest.mark.parametrize("first", [True, False])
def test_neighbours_in_either_order(client: RecordingClient, first: bool) -> None:
    async def task() -> None:
        track_below("Task")

    async def view(request: DatalyrRequest) -> Response:
        request.session["seen"] = True
        await buy(request)
        return PlainTextResponse(background=BackgroundTask(task))

    app = Starlette(routes=[Route("/", view)])
    if first:
        app.add_middleware(DatalyrMiddleware, client=client)
    app.add_middleware(Tracking)
    app.add_middleware(AuthenticationMiddleware, backend=Backend())
    app.add_middleware(SessionMiddleware, secret_key="not a secret")
    if not first:
        app.add_middleware(DatalyrMiddleware, client=client)
    response = TestClient(app).get("/", headers={**VISITOR, "X-Session": "ann"})
    assert "session" in response.headers["set-cookie"]
    assert {(event.event, event.anonymous_id, event.user_id) for event in client.events} == {
        (name, "v", "ann") for name in ("Bought", "Below", "Afterwards", "Task")
    }


def test_user_is_asked_of_a_callable(make_recording: MakeRecording) -> None:
    client = make_recording(user_id=lambda connection: connection.headers["x-account"])
    app = app_of(client, Route("/", buy))
    TestClient(app).get("/", headers={"X-Account": "7"})
    TestClient(app).get("/")  # where the callable raises
    assert [event.user_id for event in client.events] == ["7", "7", None, None]


def test_callables_get_a_request(make_recording: MakeRecording) -> None:
    """Of its body they see nothing; it belongs to the view."""

    def ask(request: Any) -> str:
        with pytest.raises(RuntimeError, match="Receive channel"):
            asyncio.run(request.body())
        return str(request.method)

    client = make_recording(user_id=ask, exclude=lambda request: request.method == "OPTIONS")
    excluded = []

    async def view(request: DatalyrRequest) -> Response:
        excluded.append(current_tracker() is None)
        await anyio.to_thread.run_sync(request.datalyr.track, "Sent")
        return PlainTextResponse(await request.body())

    browser = TestClient(app_of(client, Route("/", view, methods=["POST", "OPTIONS"])))
    assert browser.post("/", content=b"whole").text == "whole"
    browser.options("/")
    assert excluded == [False, True]
    assert [event.user_id for event in client.events] == ["POST", "OPTIONS"]


def test_callables_get_the_handshake_of_a_websocket(make_recording: MakeRecording) -> None:
    client = make_recording(user_id=lambda connection: connection.headers["x-account"])

    async def chat(websocket: WebSocket) -> None:
        websocket.datalyr.track("Opened")
        await websocket.accept()

    browser = TestClient(app_of(client, WebSocketRoute("/chat", chat)))
    with browser.websocket_connect("/chat", headers={"X-Account": "7"}):
        pass
    assert [event.user_id for event in client.events] == ["7"]


class Copying:
    """Pass on a copy of the scope, with a user in it."""

    def __init__(self, app: Any, user: Any) -> None:
        self.app = app
        self.user = user

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "path": "/inner", "user": self.user}, receive, send)


def copying_app(client: RecordingClient, user: Any) -> Starlette:
    async def view(request: DatalyrRequest) -> Response:
        request.datalyr.page()
        track_below("Below")
        return PlainTextResponse()

    app = Starlette(routes=[Route("/inner", view)])
    app.add_middleware(Copying, user=user)
    app.add_middleware(DatalyrMiddleware, client=client)
    return app


@pytest.mark.parametrize("asked", [True, False])
def test_user_in_a_copy_of_the_scope(make_recording: MakeRecording, asked: bool) -> None:
    """The user is whom the view sees, the page is what the browser asked for."""
    callables = {"user_id": lambda request: request.user.username} if asked else {}
    client = make_recording(**callables)
    TestClient(copying_app(client, SimpleUser("ann"))).get("/outer")
    assert [event.user_id for event in client.events] == ["ann", "ann"]
    assert client.events[0].properties["path"] == "/outer"


def test_copy_of_the_scope_is_forgotten(client: RecordingClient) -> None:
    user = SimpleUser("ann")
    app = copying_app(client, user)
    seen = weakref.ref(user)
    TestClient(app).get("/")
    assert [event.user_id for event in client.events] == ["ann", "ann"]
    del user, app
    gc.collect()
    assert seen() is None


async def meet(request: DatalyrRequest) -> Response:
    """Answer once the others are here too."""
    barrier: asyncio.Barrier = request.state.barrier
    await barrier.wait()
    request.state.left = request.datalyr.anonymous_id
    trackers = (request.datalyr, request.state.datalyr)
    return PlainTextResponse(" ".join(str(tracker.anonymous_id) for tracker in trackers))


@pytest.mark.parametrize("told", [True, False])
def test_one_state_for_all_requests(client: RecordingClient, told: bool) -> None:
    """As asgi-lifespan's LifespanManager has it; what the lifespan left there can be read."""
    app = app_of(client, Route("/", meet))
    state: dict[str, Any] = {}

    async def sharing(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": state}, receive, send)

    async def get(visitor: str) -> str:
        transport = httpx.ASGITransport(sharing)
        headers = {"Cookie": f"__dl_visitor_id={visitor}"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://shop.example"
        ) as browser:
            return (await browser.get("/", headers=headers)).text

    async def main() -> None:
        if told:
            await run_lifespan(app, state)
        state["barrier"] = asyncio.Barrier(3)
        answers = await asyncio.gather(*(get(visitor) for visitor in "abc"))
        assert answers == ["a a", "b b", "c c"]

    asyncio.run(main())
    assert ("datalyr" in state) is not told


async def run_lifespan(app: Any, state: dict[str, Any]) -> None:
    waiting = ["lifespan.startup", "lifespan.shutdown"]

    async def receive() -> Any:
        return {"type": waiting.pop(0)}

    async def send(message: Any) -> None: ...

    await app({"type": "lifespan", "state": state}, receive, send)


class Looking(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.barrier = asyncio.Barrier(1)  # from here on the request holds its state
        await call_next(request)
        return PlainTextResponse(f"{request.state.left} {request.state.datalyr.anonymous_id}")


def test_state_is_shared_with_the_middleware_around_us(client: RecordingClient) -> None:
    app = app_of(client, Route("/", meet))
    app.add_middleware(Looking)
    with TestClient(app) as browser:
        assert browser.get("/", headers=VISITOR).text == "v v"


def test_mounted_applications_find_the_client(client: RecordingClient) -> None:
    async def view(request: Request) -> Response:
        request.app.state.datalyr.track("user", request.url.path)
        return PlainTextResponse()

    shop = Starlette(routes=[Route("/buy", view)])
    deep = FastAPI(routes=[Route("/buy", view), Mount("/shop", shop)])
    app = app_of(
        client,
        Mount("/deep", routes=[Mount("/er", deep)]),
        Host("a.example", deep),
        Mount("/", shop),
    )
    browser = TestClient(app)
    for path in ("/buy", "/deep/er/buy", "/deep/er/shop/buy"):
        assert browser.get(path).status_code == 200
    assert len(client.events) == 3


@pytest.mark.parametrize("own", [True, False])
def test_mounted_application(
    client: RecordingClient, make_recording: MakeRecording, own: bool
) -> None:
    """The outer tracker counts, whether the inner application has a middleware or not."""
    inner = Starlette(routes=[Route("/buy", buy)])
    inner_client = make_recording()
    if own:
        inner.add_middleware(DatalyrMiddleware, client=inner_client)
    TestClient(app_of(client, Mount("/shop", inner))).get("/shop/buy", headers=VISITOR)
    assert told(client) == BOUGHT
    assert inner_client.events == []


def test_routing_by_host_and_below_paths(client: RecordingClient) -> None:
    """The page is what the browser asked for, wherever the application that answers is mounted."""

    async def page(request: DatalyrRequest) -> Response:
        request.datalyr.page()
        return PlainTextResponse(request.url.path)

    inner = Starlette(routes=[Route("/page", page)])
    api = FastAPI(routes=[Route("/page", page)])
    app = app_of(client, Host("api.example", api), Mount("/shop", Mount("/en", inner)))
    browser = TestClient(app, headers=VISITOR)
    browser.get("/page", headers={"Host": "api.example"})
    browser.get("/shop/en/page", headers={"Host": "shop.example"})
    assert [(event.anonymous_id, event.properties["url"]) for event in client.events] == [
        ("v", "http://api.example/page"),
        ("v", "http://shop.example/shop/en/page"),
    ]


def test_middleware_of_a_mounted_application_alone(client: RecordingClient) -> None:
    inner = app_of(client, Route("/buy", buy))
    app = Starlette(routes=[Mount("/shop", inner)])
    TestClient(app).get("/shop/buy", headers=VISITOR)
    assert told(client) == BOUGHT
    assert inner.state.datalyr is client


def test_applications_of_one_process(make_recording: MakeRecording) -> None:
    clients = [make_recording() for _ in range(2)]
    for number, client in enumerate(clients):
        headers = {"Cookie": f"__dl_visitor_id=v{number}"}
        TestClient(app_of(client, Route("/", buy))).get("/", headers=headers)
    assert [{visitor for _, visitor in told(client)} for client in clients] == [{"v0"}, {"v1"}]


def test_client_of_the_application_before_the_first_request() -> None:
    app = Starlette()
    app.add_middleware(DatalyrMiddleware, api_key="dk_test", transport=RecordingTransport())
    with TestClient(app):
        assert app.state.datalyr.config.api_key == "dk_test"
