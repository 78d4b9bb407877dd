"""The site in FastAPI, with the tracker as a dependency."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import Response

from datalyr_starlette import DatalyrMiddleware
from datalyr_starlette.fastapi import DatalyrDep
from tests.behaviour.sites.driving import arun, aslowly, run, slowly
from tests.behaviour.sites.starlette_site import Backend, response_of


def make_app(**options: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(DatalyrMiddleware, **options)
    app.add_middleware(AuthenticationMiddleware, backend=Backend())  # the other way round

    @app.get("/sync/{view}")
    def sync_view(view: str, datalyr: DatalyrDep, request: Request) -> Response:
        return response_of(run(view, datalyr, request.query_params), slowly)

    @app.get("/async/{view}")
    async def async_view(view: str, datalyr: DatalyrDep, request: Request) -> Response:
        return response_of(await arun(view, datalyr, request.query_params), aslowly)

    return app
