"""The site in Django: the URLs, and a session of sorts."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.decorators import sync_and_async_middleware
from django.utils.functional import SimpleLazyObject

from tests.behaviour.sites.driving import USER_HEADER, arun, aslowly, logged_in, run, slowly
from tests.behaviour.views import Page

MIDDLEWARE = [
    "datalyr_django.middleware.DatalyrMiddleware",
    "tests.behaviour.sites.django_site.authentication",
]


def sync_view(request: Any, view: str) -> Any:
    page = run(view, request.datalyr, request.GET.dict())
    # Under ASGI, Django would collect the chunks of a plain generator first, and warn of it.
    streamed = aslowly if isinstance(request, ASGIRequest) else slowly
    return _response(page, streamed)


async def async_view(request: Any, view: str) -> Any:
    return _response(await arun(view, request.datalyr, request.GET.dict()), aslowly)


urlpatterns = [path("sync/<view>", sync_view), path("async/<view>", async_view)]


@sync_and_async_middleware
def authentication(get_response: Callable[[HttpRequest], Any]) -> Callable[[Any], Any]:
    """Set the user as Django's own middleware does: lazily, and asynchronously beside it."""
    if iscoroutinefunction(get_response):

        async def serve_async(request: Any) -> Any:
            _authenticate(request)
            return await get_response(request)

        return serve_async

    def serve(request: Any) -> Any:
        _authenticate(request)
        return get_response(request)

    return serve


def _authenticate(request: Any) -> None:
    def look_up() -> Any:
        key = logged_in(request.headers.get(USER_HEADER))
        return SimpleNamespace(pk=key, is_authenticated=key is not None)

    async def alook_up() -> Any:
        return look_up()

    request.user = SimpleLazyObject(look_up)
    request.auser = alook_up


def _response(page: Page, streamed: Any) -> Any:
    if page.chunks:
        return StreamingHttpResponse(
            streamed(page.chunks), status=page.status, headers=page.headers
        )
    return HttpResponse(page.body, status=page.status, headers=page.headers)
