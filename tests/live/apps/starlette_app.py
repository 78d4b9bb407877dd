"""A Starlette application that tracks one event a request and answers its id."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from datalyr_starlette import DatalyrMiddleware


async def track(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.datalyr.track("Live", {"n": request.query_params.get("n")}))


app = Starlette(routes=[Route("/track", track)])
app.add_middleware(DatalyrMiddleware)
