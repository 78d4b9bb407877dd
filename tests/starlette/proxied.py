"""What uvicorn serves in the tests of proxies; it imports little, to start soon."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response

from datalyr_starlette import DatalyrMiddleware, DatalyrRequest


def make_app() -> Starlette:
    async def view(request: DatalyrRequest) -> Response:
        request.datalyr.track("Seen")
        return HTMLResponse("")

    app = Starlette()
    app.add_route("/", view)
    app.add_middleware(DatalyrMiddleware, request_context=["ip", "url"])
    return app
