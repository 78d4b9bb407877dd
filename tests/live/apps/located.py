"""Applications whose events say where their requests come from."""

from __future__ import annotations

from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response

from datalyr_core import Datalyr
from datalyr_flask import FlaskDatalyr, current_datalyr
from datalyr_starlette import DatalyrMiddleware, DatalyrRequest


def make_flask() -> Flask:
    app = Flask(__name__)
    FlaskDatalyr(app, Datalyr.from_env(request_context=["ip", "url"]))
    app.get("/")(lambda: str(current_datalyr.track("Seen")))
    return app


def make_starlette() -> Starlette:
    async def view(request: DatalyrRequest) -> Response:
        return PlainTextResponse(str(request.datalyr.track("Seen")))

    app = Starlette()
    app.add_route("/", view)
    app.add_middleware(DatalyrMiddleware, request_context=["ip", "url"])
    return app
