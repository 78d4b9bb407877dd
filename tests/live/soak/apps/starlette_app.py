"""The Starlette application of the soak: coroutines, and a view in the thread pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from datalyr_core import Datalyr
from datalyr_starlette import DatalyrMiddleware
from tests.live.soak.apps import USER_HEADER, views
from tests.live.soak.apps.views import Visit

client = Datalyr.from_env(user_id=lambda request: request.headers.get(USER_HEADER), **views.HOOKS)


async def track(request: Request) -> Response:
    """Track in a task that runs when the answer is on its way."""
    visit = Visit.of(request.query_params)
    later = BackgroundTask(views.one, request.datalyr, visit, 0)
    return PlainTextResponse("", background=later)


async def several(request: Request) -> Response:
    return PlainTextResponse("".join([text async for text in _several(request)]))


async def stream(request: Request) -> Response:
    return StreamingResponse(_several(request))


async def _several(request: Request) -> AsyncIterator[str]:
    visit = Visit.of(request.query_params)
    for number in range(3):
        await asyncio.sleep(views.PAUSE)
        yield views.one(request.datalyr, visit, number)


def fork(request: Request) -> Response:
    query = request.query_params
    said = views.fork(client, Visit.of(query), query["method"], int(query["many"]))
    return PlainTextResponse(said)


async def stats(request: Request) -> Response:
    return PlainTextResponse(views.counts(client))


app = Starlette(
    routes=[Route(f"/{view.__name__}", view) for view in (track, several, stream, fork, stats)]
)
app.add_middleware(DatalyrMiddleware, client=client)
