"""The site in Starlette, with its AuthenticationMiddleware."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
from tests.behaviour.sites.driving import USER_HEADER, arun, aslowly, logged_in, run, slowly
from tests.behaviour.views import Page


class User(SimpleUser):
    """A user who is looked up when somebody asks for the id."""

    @property
    def identity(self) -> str:
        return str(logged_in(self.username))


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        key = conn.headers.get(USER_HEADER)
        return (AuthCredentials(), User(key)) if key else None


def make_app(**options: Any) -> Starlette:
    app = Starlette(
        routes=[Route("/sync/{view}", sync_view), Route("/async/{view}", async_view)],
    )
    app.add_middleware(AuthenticationMiddleware, backend=Backend())
    app.add_middleware(DatalyrMiddleware, **options)
    return app


def sync_view(request: DatalyrRequest) -> Response:
    page = run(request.path_params["view"], request.datalyr, request.query_params)
    return response_of(page, slowly)


async def async_view(request: DatalyrRequest) -> Response:
    page = await arun(request.path_params["view"], request.datalyr, request.query_params)
    return response_of(page, aslowly)


def response_of(page: Page, streamed: Any) -> Response:
    if page.chunks:
        return StreamingResponse(streamed(page.chunks), page.status, page.headers)
    return HTMLResponse(page.body, page.status, page.headers)
