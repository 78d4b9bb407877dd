"""A Starlette application that tracks and answers the event's id."""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from datalyr_starlette import DatalyrMiddleware
from tests.live.apps.ledger import PLAIN, note, plain_id, told_to_go_on


def _one(request: Request, kind: str) -> PlainTextResponse:
    event_id = plain_id() if PLAIN else request.datalyr.track("Live")
    return PlainTextResponse(note(event_id, kind))


async def track(request: Request) -> PlainTextResponse:
    return _one(request, "load")


async def slow(request: Request) -> PlainTextResponse:
    _one(request, "begun")
    while not told_to_go_on():  # noqa: ASYNC110 - another process tells
        await asyncio.sleep(0.05)
    return _one(request, "late")


async def block(request: Request) -> PlainTextResponse:
    """Give nobody a turn, not even the event loop."""
    _one(request, "block")
    while True:
        pass


app = Starlette(routes=[Route("/track", track), Route("/slow", slow), Route("/block", block)])
if not PLAIN:
    app.add_middleware(DatalyrMiddleware)
