"""The JSON API: what arrived, and which fault the ingest has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from .contract import MAX_BODY
from .faults import FaultError, parse_fault
from .inspection import Inspection
from .responses import failure, json_response
from .wire_json import BodyError, parse

FILTERS = {
    "anonymous_id": "anonymousId",
    "user_id": "userId",
    "event": "event",
    "event_id": "eventId",
}


class QueryError(ValueError):
    """A query that makes no sense; the message says why."""


class Api:
    """The endpoints below `/api`, the stream apart.

    Args:
        inspection: What they show and change.
    """

    def __init__(self, inspection: Inspection) -> None:
        self._inspection = inspection

    async def events(self, request: Request) -> Response:
        """List the events that are kept, oldest first, with the counts."""
        return self._listing("event", "events", request.query_params)

    async def attempts(self, request: Request) -> Response:
        """List the requests that were not accepted, oldest first, with the counts."""
        return self._listing("attempt", "attempts", request.query_params)

    async def clear(self, _request: Request) -> Response:
        """Forget what arrived."""
        self._inspection.clear()
        return json_response({"success": True})

    async def faults(self, _request: Request) -> Response:
        """Show the current fault."""
        return json_response(self._inspection.faults.as_json())

    async def set_fault(self, request: Request) -> Response:
        """Set or clear the fault."""
        try:
            fault = parse_fault(await _small_json(request))
        except (FaultError, BodyError) as error:
            return failure(400, str(error))
        self._inspection.set_fault(fault)
        return json_response(self._inspection.faults.as_json())

    async def health(self, _request: Request) -> Response:
        """Say that this is an inspector, and that it is well."""
        return json_response({"ok": True, "service": "datalyr-inspector"})

    def _listing(self, kind: str, name: str, query: Mapping[str, str]) -> Response:
        try:
            after, limit, wanted = read_query(query)
        except QueryError as error:
            return failure(400, str(error))
        kept = (entry.view for entry in self._inspection.store.since(after) if entry.kind == kind)
        found = [view for view in kept if _matches(view, wanted.items())]
        return json_response({name: found[:limit], **self._inspection.state()})


def read_query(query: Mapping[str, str]) -> tuple[int, int | None, dict[str, str]]:
    """Read the query of a listing.

    Args:
        query: Its parameters.

    Returns:
        The number to start after, how many to list (None: all), and wanted values by body key.

    Raises:
        QueryError: A parameter is unknown or no number.
    """
    allowed = [*FILTERS, "after", "limit"]
    if unknown := sorted(query.keys() - set(allowed)):
        raise QueryError(f"unknown: {', '.join(unknown)}; there are {', '.join(allowed)}")
    wanted = {FILTERS[name]: value for name, value in query.items() if name in FILTERS}
    limit = number("limit", query["limit"]) if "limit" in query else None
    return number("after", query.get("after", "0")), limit, wanted


def number(name: str, text: str) -> int:
    """Read a whole number of a query.

    Args:
        name: The parameter, for the message.
        text: Its value.

    Returns:
        The number.

    Raises:
        QueryError: It is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise QueryError(f"{name} must be a whole number, not {text[:40]!r}")
    return int(text)


def _matches(view: Mapping[str, Any], wanted: Iterable[tuple[str, str]]) -> bool:
    said = view.get("event")
    body = said if isinstance(said, dict) else view
    return all(body.get(key) == value for key, value in wanted)


async def _small_json(request: Request) -> object:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise FaultError("a fault is a small object, not a megabyte")
    return parse(bytes(body))[0]
