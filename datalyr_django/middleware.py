"""The middleware: a tracker for each request, in synchronous and asynchronous chains."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control

from datalyr_core.context import enter, leave
from datalyr_django import asgi
from datalyr_django.settings import get_client
from datalyr_django.web_request import DjangoRequest, alook_up_user, look_up_user

if TYPE_CHECKING:
    from datalyr_core import Tracker
    from datalyr_django.tracker import DjangoTracker


class DatalyrMiddleware:
    """Give each request its tracker as `request.datalyr`."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        """Wrap the next layer.

        Raises:
            ConfigurationError: Something is wrong with `settings.DATALYR`.
        """
        self.get_response = get_response
        get_client()
        from datalyr_django.tracker import DjangoTracker  # with the client, which brings the rest

        self._kind = DjangoTracker
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Serve a request."""
        if hasattr(request, "datalyr"):  # installed twice: the outer tracker counts
            return self.get_response(request)
        tracker, active = _begin(request, self._kind)
        if self._is_async:
            return self._serve(request, tracker, active)
        response = None
        token = enter(active)
        try:
            response = self.get_response(request)
        finally:
            leave(token)
            # What waits already is not left to a stream, which may never be read.
            if tracker.needs_user or not _streams(response):
                tracker.settle(look_up_user(request) if tracker.needs_user else None)
        return _finished(request, response, tracker, active)

    async def _serve(
        self, request: HttpRequest, tracker: Tracker, active: Tracker | None
    ) -> HttpResponseBase:
        response = None
        token = enter(active)
        try:
            answer: Awaitable[HttpResponseBase] = self.get_response(request)
            response = await answer
        finally:
            leave(token)
            if tracker.needs_user or not _streams(response):
                await _settle(request, tracker)
        return _finished(request, response, tracker, active)


def _streams(response: HttpResponseBase | None) -> TypeGuard[StreamingHttpResponse]:
    """Tell whether a response is still to run code of the view, in the event loop."""
    return isinstance(response, StreamingHttpResponse) and response.is_async


def _begin(request: HttpRequest, kind: type[DjangoTracker]) -> tuple[Tracker, Tracker | None]:
    """Make the tracker, and tell which one is to be the current one while the view runs."""
    client = get_client()
    web_request = DjangoRequest(request)
    tracker = client.tracker(web_request, kind=kind)
    request.datalyr = tracker  # type: ignore[attr-defined]  # it is new
    asgi.warn_without_lifespan(request)
    return tracker, None if client.excludes(web_request) else tracker


async def _settle(request: HttpRequest, tracker: Tracker) -> None:
    """Look the user up if an event waits for it, and release the events in any case."""
    user_id = None
    try:
        if tracker.needs_user:
            user_id = await alook_up_user(request)
    finally:  # also when the client has gone and the look-up is cancelled
        tracker.settle(user_id)


async def _settled_after(
    content: AsyncIterator[bytes], request: HttpRequest, tracker: Tracker
) -> AsyncIterator[bytes]:
    """Settle once a stream has tracked, and when it has ended in any case."""
    try:
        async for chunk in content:
            yield chunk
            if tracker.needs_user:
                await _settle(request, tracker)
    finally:
        await _settle(request, tracker)


def _finished(
    request: HttpRequest, response: HttpResponseBase, tracker: Tracker, active: Tracker | None
) -> HttpResponseBase:
    """Settle after a stream, and give a new visitor the cookie."""
    if _streams(response):
        content = cast(AsyncIterator[bytes], response.streaming_content)
        response.streaming_content = _settled_after(content, request, tracker)
    if active is not None and active.sets_cookie:
        header = partial(_header, response)
        for name, value in tracker.cookie_headers(response.status_code, header):
            if name == "Set-Cookie":
                response.cookies.load(value)
                # Django's cache middleware, in older versions, keeps what says only "no-store".
                patch_cache_control(response, private=True)
            else:
                response.headers.setdefault(name, value)
    return response


def _header(response: HttpResponseBase, name: str) -> str | None:
    value: str | None = response.headers.get(name)
    if name == "set-cookie" and response.cookies:  # which Django writes last
        return response.cookies.output(header="", sep=",") + f",{value or ''}"
    return value
