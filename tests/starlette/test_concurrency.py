"""What a view starts or leaves behind: streams, server-sent events, files, tasks, threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.testclient import TestClient

from datalyr_core import Tracker, current_tracker
from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
from tests.starlette.conftest import MakeRecording

VISITOR = {"Cookie": "__dl_visitor_id=v"}


def track_below(event: str) -> None:
    tracker = current_tracker()
    assert tracker is not None
    tracker.track(event)


def told(client: RecordingClient) -> list[tuple[str, str]]:
    return sorted((event.event, event.anonymous_id) for event in client.events)


def app_of(client: RecordingClient, view: Any) -> Starlette:
    app = Starlette()
    app.add_route("/", view)
    app.add_middleware(DatalyrMiddleware, client=client)
    return app


def visited(app: Starlette, visitors: list[str]) -> list[str]:
    """Visit by all at once, in one event loop."""

    async def main() -> list[str]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            visits = [
                browser.get("/", headers={"Cookie": f"__dl_visitor_id={v}"}) for v in visitors
            ]
            return [answer.text for answer in await asyncio.gather(*visits)]

    return asyncio.run(main())


@pytest.mark.parametrize("is_async", [True, False])
def test_long_streams_at_once(client: RecordingClient, is_async: bool) -> None:
    """A thousand chunks each, by turns; none bears another visitor's id, none leaves a tracker."""
    left: list[Tracker | None] = []

    def chunks() -> Iterator[str]:
        for number in range(1000):
            if number % 250 == 0:
                track_below(f"Chunk {number}")
            yield "."

    async def async_chunks() -> AsyncIterator[str]:
        for chunk in chunks():
            await asyncio.sleep(0)
            yield chunk

    async def view(request: Request) -> Response:
        return StreamingResponse(async_chunks() if is_async else chunks())

    app = app_of(client, view)

    async def around(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        left.append(current_tracker())

    answers = visited(around, ["a", "b", "c"])  # type: ignore[arg-type]  # it is ASGI too
    assert answers == ["." * 1000] * 3
    assert left == [None] * 3
    names = [f"Chunk {number}" for number in range(0, 1000, 250)]
    assert told(client) == sorted((name, visitor) for name in names for visitor in "abc")


def test_server_sent_events(client: RecordingClient) -> None:
    """sse-starlette runs the generator in a task of its own."""

    async def events(request: DatalyrRequest) -> AsyncIterator[dict[str, str]]:
        for number in range(3):
            request.datalyr.track(f"Sent {number}")
            track_below(f"Below {number}")
            yield {"data": str(number)}

    async def view(request: DatalyrRequest) -> Response:
        request.datalyr.track("Began")
        response: Response = EventSourceResponse(events(request))
        return response

    answers = visited(app_of(client, view), ["a", "b"])
    assert all(answer.count("data: ") == 3 for answer in answers)
    names = ["Began", *(f"{what} {n}" for what in ("Sent", "Below") for n in range(3))]
    assert told(client) == sorted((name, visitor) for name in names for visitor in "ab")


def test_stream_whose_reader_goes_away(client: RecordingClient) -> None:
    async def chunks() -> AsyncIterator[str]:
        try:
            track_below("Began")
            yield "."
            await asyncio.Event().wait()
        finally:
            track_below("Ended")

    async def view(request: Request) -> Response:
        return StreamingResponse(chunks())

    async def main() -> None:
        sent = asyncio.Event()

        async def receive() -> Any:
            await sent.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                sent.set()

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "headers": [(b"cookie", b"__dl_visitor_id=v")],
        }
        await app_of(client, view)(scope, receive, send)
        assert current_tracker() is None

    asyncio.run(main())
    assert told(client) == [("Began", "v"), ("Ended", "v")]


def test_file(make_recording: MakeRecording, tmp_path: Path) -> None:
    client = make_recording(set_visitor_cookie=True)
    page = tmp_path / "page.html"
    page.write_text("<p>hello")

    async def view(request: DatalyrRequest) -> Response:
        request.datalyr.track("Downloaded")
        return FileResponse(page)

    response = TestClient(app_of(client, view)).get("/")
    assert response.text == "<p>hello"
    (event,) = client.events
    assert f"__dl_visitor_id={event.anonymous_id}" in response.headers["set-cookie"]


def test_tasks_that_a_view_starts(client: RecordingClient) -> None:
    """A task has the tracker that was the current one where it began, also after the end."""
    tasks: list[asyncio.Task[None]] = []

    async def work(what: str) -> None:
        await asyncio.sleep(0)
        track_below(what)

    async def late(over: asyncio.Event) -> None:
        await over.wait()
        track_below("Late")

    async def view(request: Request) -> Response:
        await asyncio.gather(work("Gathered 0"), work("Gathered 1"))
        async with anyio.create_task_group() as group:
            group.start_soon(work, "Grouped")
        tasks.append(asyncio.create_task(late(request.app.state.over)))
        return PlainTextResponse()

    app = app_of(client, view)

    async def main() -> None:
        app.state.over = asyncio.Event()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            for visitor in "ab":
                await browser.get("/", headers={"Cookie": f"__dl_visitor_id={visitor}"})
        assert current_tracker() is None
        app.state.over.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    names = ["Gathered 0", "Gathered 1", "Grouped", "Late"]
    assert told(client) == [(name, visitor) for name in names for visitor in "ab"]


def test_threads_that_a_view_uses(client: RecordingClient) -> None:
    """Those of asyncio and Starlette get the context; a plain pool only where it is copied."""
    nowhere: list[Tracker | None] = []

    async def view(request: DatalyrRequest) -> Response:
        tracker = request.datalyr
        await asyncio.to_thread(track_below, "Asyncio")
        await run_in_threadpool(track_below, "Starlette")
        with ThreadPoolExecutor(1) as pool:
            nowhere.append(pool.submit(current_tracker).result(20))
            pool.submit(copy_context().run, track_below, "Copied").result(20)
            pool.submit(tracker.track, "Handed Over").result(20)
        return PlainTextResponse()

    TestClient(app_of(client, view)).get("/", headers=VISITOR)
    assert nowhere == [None]
    names = ["Asyncio", "Copied", "Handed Over", "Starlette"]
    assert told(client) == [(name, "v") for name in names]


def test_views_at_once(client: RecordingClient) -> None:
    """Async views that stand in the middle of each other, and plain ones in threads."""
    together = asyncio.Barrier(5)

    async def view(request: DatalyrRequest) -> Response:
        await together.wait()
        track_below("Met")
        await together.wait()
        request.datalyr.track("Parted")
        return PlainTextResponse(str(request.datalyr.anonymous_id))

    visitors = list("abcde")
    assert visited(app_of(client, view), visitors) == visitors
    threads = threading.Barrier(5)

    def plain(request: DatalyrRequest) -> Response:
        threads.wait(20)
        track_below("Met in a Thread")
        return PlainTextResponse(str(request.datalyr.anonymous_id))

    assert visited(app_of(client, plain), visitors) == visitors
    names = ["Met", "Met in a Thread", "Parted"]
    assert told(client) == sorted((name, visitor) for name in names for visitor in visitors)
