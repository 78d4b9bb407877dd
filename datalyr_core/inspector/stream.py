"""Server-sent events: what is kept, then what arrives.

Each client has a place in the store, not a queue of its own: one that reads slowly costs no memory,
and what was evicted before it came that far is gone for it as for everyone. An id is
`<era>-<number>`; a clear or another process is another era, and then a client starts again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .api import QueryError, number
from .bell import heard
from .inspection import Inspection
from .responses import failure
from .wire_json import encode

BATCH = 200
KEEP_ALIVE = 15.0
RECONNECT = b"retry: 1000\n\n"


@dataclass(slots=True)
class Place:
    """How far a client has read."""

    era: str
    seq: int


class Stream:
    """The endpoint `/api/stream`.

    Args:
        inspection: What to stream.
        keep_alive: Seconds of silence after which a comment is sent.
    """

    def __init__(self, inspection: Inspection, keep_alive: float = KEEP_ALIVE) -> None:
        self._inspection = inspection
        self._keep_alive = keep_alive

    async def stream(self, request: Request) -> Response:
        """Stream everything after the client's place, and go on until it leaves."""
        try:
            place = self._place(request)
        except QueryError as error:
            return failure(400, str(error))
        return StreamingResponse(self._frames(place), media_type="text/event-stream")

    def _place(self, request: Request) -> Place:
        era, dash, seq = request.headers.get("last-event-id", "").partition("-")
        if dash:
            return Place(era, number("Last-Event-ID", seq))
        if "after" in request.query_params:
            after = number("after", request.query_params["after"])
            return Place(self._inspection.store.era, after)
        return Place("", 0)

    async def _frames(self, place: Place) -> AsyncIterator[bytes]:
        bell = self._inspection.bell
        yield RECONNECT
        with bell.listening() as ear:
            while not bell.closing:
                ear.clear()
                batch = self._next(place)
                yield b"".join(batch)
                if len(batch) >= BATCH:
                    continue
                while not await heard(ear, self._keep_alive):
                    yield b": keep-alive\n\n"

    def _next(self, place: Place) -> list[bytes]:
        store, frames = self._inspection.store, []
        if place.era != store.era:
            place.era, place.seq = store.era, 0
            frames.append(_frame("reset", {"max_events": store.max_events}, place))
        for entry in store.since(place.seq)[:BATCH]:
            place.seq = entry.seq
            frames.append(_frame(entry.kind, entry.view, place))
        return [*frames, _frame("state", self._inspection.state(), place)]


def _frame(name: str, data: object, place: Place) -> bytes:
    head = f"event: {name}\nid: {place.era}-{place.seq}\ndata: ".encode()
    return head + encode(data) + b"\n\n"
