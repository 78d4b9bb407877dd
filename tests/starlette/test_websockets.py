"""Websockets under a real server: they live long, and many share one event loop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

from datalyr_core import current_tracker
from datalyr_starlette import DatalyrMiddleware
from tests.behaviour.servers import UVICORN, serving
from tests.support.ingest import IngestServer
from tests.support.waiting import eventually

VISITORS = 30
WORDS = 3


async def chat(websocket: WebSocket) -> None:
    websocket.datalyr.track("Opened")
    await websocket.accept()
    async for text in websocket.iter_text():
        tracker = current_tracker()
        assert tracker is websocket.datalyr
        tracker.track("Said", {"text": text})
        await websocket.send_text(str(tracker.anonymous_id))
    websocket.datalyr.track("Closed")


def make_app() -> Starlette:
    app = Starlette(routes=[WebSocketRoute("/chat", chat)])
    app.add_middleware(DatalyrMiddleware)
    return app


def test_websockets_at_once(ingest: IngestServer) -> None:
    together = Barrier(VISITORS, timeout=20)

    def talk(number: int) -> None:
        headers = {"Cookie": f"__dl_visitor_id=v{number}"}
        with connect(f"ws://127.0.0.1:{server.port}/chat", additional_headers=headers) as websocket:
            together.wait()
            for _ in range(WORDS):
                websocket.send(f"by v{number}")
                assert websocket.recv(10) == f"v{number}"
                together.wait()

    command = (*UVICORN, "--factory", f"{__name__}:make_app")
    with serving(command, ingest.url, flush_at=1) as server:
        with ThreadPoolExecutor(VISITORS) as browsers:
            list(browsers.map(talk, range(VISITORS)))
        assert eventually(lambda: ingest.names.count("Closed") == VISITORS, 20)
        server.terminate()
    assert len(ingest.accepted) == VISITORS * (WORDS + 2)
    for number in range(VISITORS):
        mine = [body for body in ingest.accepted if body["anonymousId"] == f"v{number}"]
        assert sorted(body["event"] for body in mine) == ["Closed", "Opened", *["Said"] * WORDS]
        assert {body["properties"].get("text") for body in mine} == {None, f"by v{number}"}
