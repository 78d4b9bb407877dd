"""Middleware of other people, in every mode that Django knows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse
from django.utils.decorators import (
    async_only_middleware,
    sync_and_async_middleware,
    sync_only_middleware,
)
from django.utils.functional import SimpleLazyObject

SYNC_ONLY = f"{__name__}.sync_only"
ASYNC_ONLY = f"{__name__}.async_only"


@sync_only_middleware
def sync_only(get_response: Callable[[Any], HttpResponse]) -> Callable[[Any], HttpResponse]:
    def serve(request: Any) -> HttpResponse:
        note_place(request)
        return get_response(request)

    return serve


@async_only_middleware
def async_only(
    get_response: Callable[[Any], Awaitable[HttpResponse]],
) -> Callable[[Any], Awaitable[HttpResponse]]:
    async def serve(request: Any) -> HttpResponse:
        note_place(request)
        return await get_response(request)

    return serve


def note_place(request: Any) -> None:
    """Note where the code of a request runs: the thread, and the task if there is a loop."""
    task = None
    with suppress(RuntimeError):
        task = asyncio.current_task()
    request.__dict__.setdefault("places", set()).add((threading.get_ident(), task))


@sync_and_async_middleware
def token_middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Set a lazy user of its own, as token authentication does, without an `auser`."""
    if iscoroutinefunction(get_response):

        async def aserve(request: Any) -> HttpResponse:
            request.user = SimpleLazyObject(lambda: _user_of(request))
            return await get_response(request)

        return aserve

    def serve(request: Any) -> HttpResponse:
        request.user = SimpleLazyObject(lambda: _user_of(request))
        return get_response(request)

    return serve


def _user_of(request: Any) -> SimpleNamespace:
    token = request.headers["authorization"]
    if token == "broken":
        raise LookupError("the token store is down, on purpose")
    return SimpleNamespace(pk=token, is_authenticated=True)
