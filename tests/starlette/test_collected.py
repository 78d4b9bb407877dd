"""A request goes as soon as it is over; nothing of ours makes it wait for the collector."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import anyio.to_thread
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import SimpleUser
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from datalyr_core import Tracker
from datalyr_core.testing import RecordingClient, recording_client
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
from tests.starlette.conftest import MakeRecording
from tests.starlette.raw import http_scope
from tests.support.collecting import no_collector
from tests.support.waiting import eventually


async def silent(request: DatalyrRequest) -> Response:
    return PlainTextResponse()


async def buy(request: DatalyrRequest) -> Response:
    request.datalyr.page()
    request.datalyr.identify("42")
    request.datalyr.track("Bought")
    return PlainTextResponse()


async def stream(request: DatalyrRequest) -> Response:
    async def body() -> AsyncIterator[str]:
        for _ in range(3):
            yield str(request.datalyr.track("Streamed"))

    return StreamingResponse(body())


async def task(request: DatalyrRequest) -> Response:
    return PlainTextResponse(background=BackgroundTask(request.datalyr.track, "Task"))


async def in_a_thread(request: DatalyrRequest) -> Response:
    await anyio.to_thread.run_sync(request.datalyr.track, "Thread")
    return PlainTextResponse()


class Copying:
    """Pass on a copy of the scope, with a user in it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "user": SimpleUser("ann")}, receive, send)


async def serve(app: Any, scope: dict[str, Any]) -> None:
    """Serve one connection as a server does, which keeps nothing of it."""

    async def receive() -> Any:
        if scope["type"] == "websocket":
            return {"type": "websocket.connect"}
        return await asyncio.Future()  # never

    async def send(message: Any) -> None: ...

    await app(scope, receive, send)


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
@pytest.mark.parametrize("view", [silent, buy, stream, task, in_a_thread])
@pytest.mark.parametrize("copied", [False, True])
def test_requests_and_trackers_go_at_once(
    make_recording: MakeRecording, kind: Any, view: Any, copied: bool
) -> None:
    alive: list[weakref.ref[Any]] = []

    async def watched(request: Request) -> Response:
        alive.append(weakref.ref(request))
        alive.append(weakref.ref(request.datalyr))
        response: Response = await view(request)
        return response

    app = kind()
    if kind is FastAPI:
        app.get("/")(watched)
    else:
        app.add_route("/", watched)
    if copied:
        app.add_middleware(Copying)
    app.add_middleware(DatalyrMiddleware, client=make_recording(set_visitor_cookie=True))

    async def main() -> None:
        for _ in range(2):
            await serve(app, http_scope())

    with no_collector():
        asyncio.run(main())
        assert len(alive) == 4
        # A thread of a pool forgets its last work in its own time.
        assert eventually(lambda: not any(each() for each in alive), 20)


def test_websockets_go_at_once(client: RecordingClient) -> None:
    alive: list[weakref.ref[Any]] = []

    async def chat(websocket: WebSocket) -> None:
        alive.append(weakref.ref(websocket))
        alive.append(weakref.ref(websocket.datalyr))
        await websocket.accept()
        websocket.datalyr.track("Opened")
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/", chat)])
    app.add_middleware(DatalyrMiddleware, client=client)
    with no_collector():
        asyncio.run(serve(app, http_scope(type="websocket")))
        assert [each() for each in alive] == [None] * 2


@pytest.mark.parametrize("copied", [False, True])
def test_visitor_outlives_the_request(make_recording: MakeRecording, copied: bool) -> None:
    """In a task that the view has started; and goes with that task."""
    client = make_recording(request_context=["path"], user_id=who)
    tasks: list[asyncio.Task[None]] = []
    alive: list[weakref.ref[Tracker]] = []
    over = asyncio.Event()

    async def work(request: DatalyrRequest, tracker: Tracker) -> None:
        await over.wait()
        assert request.datalyr is tracker
        tracker.track("Late")
        request.datalyr.page()

    async def view(request: DatalyrRequest) -> Response:
        request.state.account = "7"
        alive.append(weakref.ref(request.datalyr))
        tasks.append(asyncio.create_task(work(request, request.datalyr)))
        return PlainTextResponse()

    app = Starlette()
    app.add_route("/late", view)
    if copied:
        app.add_middleware(Copying)
    app.add_middleware(DatalyrMiddleware, client=client)

    async def main() -> None:
        headers = [(b"cookie", b"__dl_visitor_id=v"), (b"host", b"shop.example")]
        scope = http_scope(path="/late", headers=headers)
        await serve(app, scope)
        over.set()
        await tasks.pop()

    with no_collector():
        asyncio.run(main())
        assert [each() for each in alive] == [None]
    late, page = client.events
    for event in (late, page):
        assert (event.anonymous_id, event.properties["path"]) == ("v", "/late")
        assert event.user_id == ("7 ann" if copied else "7")
    assert page.properties["url"] == "http://shop.example/late"


def who(request: Request) -> str:
    """Tell who the user is by what is left of a request."""
    user = request.scope.get("user")
    return " ".join([request.state.account, *([user.username] if user else [])])


@pytest.mark.parametrize("state", [None, "nothing"])
def test_copy_of_the_scope_without_a_state(client: RecordingClient, state: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        copy = {key: value for key, value in scope.items() if key != "state"}
        if state is None:
            copy["state"] = None
        Request(copy).datalyr.track("Seen")

    asyncio.run(serve(DatalyrMiddleware(app, client), http_scope()))
    assert [event.event for event in client.events] == ["Seen"]


def test_applications_and_clients_are_collected() -> None:
    alive: list[weakref.ref[object]] = []

    def run() -> None:
        app = Starlette()
        client = recording_client()
        app.add_route("/", buy)
        app.add_middleware(DatalyrMiddleware, client=client)
        asyncio.run(serve(app, http_scope()))
        assert len(client.events) == 3
        alive.extend(map(weakref.ref, (app, client)))
        client.close()

    run()
    gc.collect()
    assert [each() for each in alive] == [None] * 2
