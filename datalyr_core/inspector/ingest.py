"""The ingest endpoint: read a request, let it meet a fault, keep it, answer it."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .contract import MAX_BODY, Reading, read, too_large
from .faults import Fault
from .inspection import Inspection
from .responses import failure, json_response

CUT_EXTENSION = "datalyr.cut"
# A client that is still sending does not read the 413, so a body is read on for a while.
MAX_DRAINED = 16 * MAX_BODY


class Cut(Response):
    """Close the connection where an answer would be."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection, then wait until the server knows that it is closed."""
        scope["extensions"][CUT_EXTENSION]()
        said = ""
        while said != "http.disconnect":
            said = (await receive())["type"]


class Ingest:
    """The endpoint that an SDK posts to.

    Args:
        inspection: Where its readings go.
    """

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection

    async def track(self, request: Request) -> Response:
        """Answer one request to the ingest."""
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)
        reading = too_large(request.headers) if body is None else read(request.headers, body)
        fault = self._inspection.begin()
        failed = await self._fail(fault, reading) if fault else None
        return failed or self._answer(reading)

    async def _fail(self, fault: Fault, reading: Reading) -> Response | None:
        self._inspection.note_attempt(reading, fault.label, fault=True)
        if fault.delay:
            await self._inspection.bell.pause(fault.delay)
        if fault.cut:
            return Cut()
        return _faulty(fault.status, fault.retry_after) if fault.status else None

    def _answer(self, reading: Reading) -> Response:
        if reading.status != 200:
            self._inspection.note_attempt(reading, str(reading.status))
            return _refusal(reading)
        view = self._inspection.accept(reading).view
        said = {key: view[key] for key in ("seq", "duplicate", "violations")}
        return json_response({"success": True, **said})


def _refusal(reading: Reading) -> Response:
    response = failure(reading.status, "; ".join(reading.violations))
    if reading.status == 413:
        response.headers["Connection"] = "close"  # or the rest of the body would be read
    return response


def _faulty(status: int, retry_after: int | None) -> Response:
    response = failure(status, "a fault that was asked for")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


async def _body(request: Request) -> bytes | None:
    kept, length = bytearray(), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length <= MAX_BODY:
            kept += chunk
        elif length > MAX_DRAINED:
            break
    return bytes(kept) if length <= MAX_BODY else None
