from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.programs.apps import NAME, OPTIONS, PROPERTIES, page


async def products(request: Request) -> Response:
    if OPTIONS:
        request.datalyr.track(NAME, PROPERTIES)  # type: ignore[attr-defined]  # the plugin's
    return Response(page(), media_type="application/json")


app = Starlette(routes=[Route("/", products)])
if OPTIONS:
    from datalyr_core import Datalyr
    from datalyr_starlette import DatalyrMiddleware

    app.add_middleware(DatalyrMiddleware, client=Datalyr(**OPTIONS))
