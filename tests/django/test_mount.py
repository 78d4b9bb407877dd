"""Where the middleware may stand: sync, async and mixed chains, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from types import ModuleType
from typing import Any, get_type_hints

import pytest
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

from datalyr_core import Tracker, current_tracker
from datalyr_django import DatalyrHttpRequest
from datalyr_django.middleware import DatalyrMiddleware
from datalyr_django.tracker import DjangoTracker
from tests.django.accounts.models import Customer
from tests.django.chain import ASYNC_ONLY, SYNC_ONLY
from tests.django.conftest import AUTH, OURS, SESSION, MakeSite, as_async, buy

CHAINS = {
    "last": (SESSION, AUTH, OURS),
    "first": (OURS, SESSION, AUTH),
    "between": (SESSION, OURS, AUTH),
    "sync-only inside": (SESSION, AUTH, OURS, SYNC_ONLY),
    "sync-only outside": (SYNC_ONLY, SESSION, AUTH, OURS),
    "async-only inside": (SESSION, AUTH, OURS, ASYNC_ONLY),
    "async-only outside": (ASYNC_ONLY, SESSION, AUTH, OURS),
    "sync-only outside, async-only inside": (SYNC_ONLY, OURS, ASYNC_ONLY, SESSION, AUTH),
    "async-only outside, sync-only inside": (ASYNC_ONLY, SESSION, AUTH, OURS, SYNC_ONLY),
    "between two sync-only": (SYNC_ONLY, SESSION, AUTH, OURS, SYNC_ONLY),
    "twice": (OURS, SESSION, AUTH, OURS),
    "twice, sync-only between": (OURS, SYNC_ONLY, SESSION, AUTH, OURS),
}


def by_request_and_by_context(request: Any) -> HttpResponse:
    tracker = current_tracker()
    assert tracker is request.datalyr
    request.datalyr.track("By request")
    tracker.track("By context")
    return HttpResponse("done")


def test_nobody_is_current_once_a_view_was_made_to_end(rf: RequestFactory) -> None:
    """The next request in that thread, or task, is another visitor's."""

    def view(request: HttpRequest) -> HttpResponse:
        assert current_tracker() is not None
        raise SystemExit

    async def async_view(request: HttpRequest) -> HttpResponse:
        assert current_tracker() is not None
        raise asyncio.CancelledError

    async def serve() -> Tracker | None:
        with suppress(asyncio.CancelledError):
            await DatalyrMiddleware(async_view)(rf.get("/"))
        return current_tracker()

    with suppress(SystemExit):
        DatalyrMiddleware(view)(rf.get("/"))
    assert current_tracker() is None
    assert asyncio.run(serve()) is None


@pytest.mark.parametrize("chain", CHAINS)
def test_visitor_and_user_are_the_same_in_every_chain(
    make_site: MakeSite, customer: Customer, way: str, chain: str
) -> None:
    site = make_site(by_request_and_by_context, middleware=CHAINS[chain])
    site.log_in(customer)
    site.browser.cookies["__dl_visitor_id"] = "visitor-1"
    assert site.ask(way).content == b"done"
    assert current_tracker() is None
    assert sorted((event.event, event.anonymous_id, event.user_id) for event in site.events) == [
        ("By context", "visitor-1", str(customer.pk)),
        ("By request", "visitor-1", str(customer.pk)),
    ]


@pytest.mark.parametrize("chain", CHAINS)
def test_no_tracker_outlives_a_view_that_raises(
    make_site: MakeSite, customer: Customer, way: str, chain: str
) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.track("Before it went wrong")
        raise RuntimeError("as the test wants it")

    site = make_site(view, middleware=CHAINS[chain])
    site.log_in(customer)
    assert site.ask(way).status_code == 500
    assert current_tracker() is None
    assert site.users == [str(customer.pk)]


def test_outer_of_two_middlewares_makes_the_tracker(make_site: MakeSite, way: str) -> None:
    asked: list[Any] = []
    site = make_site(middleware=(OURS, OURS), exclude=asked.append)
    site.ask(way)
    assert len(asked) == 1


@sync_and_async_middleware
def other_urls(get_response: Any) -> Any:
    """Serve the pages of another site, as multi-tenant projects do."""
    urls = (path("sync", by_request_and_by_context), path("async", as_async(buy)))
    if iscoroutinefunction(get_response):

        async def aserve(request: Any) -> HttpResponse:
            request.urlconf = urls
            answer: HttpResponse = await get_response(request)
            return answer

        return aserve

    def serve(request: Any) -> HttpResponse:
        request.urlconf = urls
        answer: HttpResponse = get_response(request)
        return answer

    return serve


@pytest.mark.parametrize("ours_first", [True, False])
def test_urls_that_a_middleware_swaps(make_site: MakeSite, way: str, ours_first: bool) -> None:
    swap, nowhere = f"{__name__}.other_urls", (path("elsewhere", buy),)
    site = make_site(urls=nowhere, middleware=(OURS, swap) if ours_first else (swap, OURS))
    assert site.ask(way).status_code == 200
    names = ["By request", "By context"] if way.endswith("-sync") else ["Bought"]
    assert [event.event for event in site.events] == names


def test_page_that_is_not_found_has_a_tracker_too(make_site: MakeSite) -> None:
    seen: list[Any] = []

    def not_found(request: Any, exception: Exception) -> HttpResponse:
        seen.append(current_tracker())
        request.datalyr.track("Missed")
        return HttpResponse(status=404)

    urls: Any = ModuleType("urls")
    urls.urlpatterns, urls.handler404 = [], not_found
    site = make_site(urls=urls)
    assert site.get("/nowhere").status_code == 404
    assert [event.event for event in site.events] == ["Missed"]
    assert isinstance(seen[0], Tracker)


def test_middleware_is_of_the_kind_of_what_it_wraps(make_site: MakeSite) -> None:
    def get_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    async def aget_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    make_site()
    assert not iscoroutinefunction(DatalyrMiddleware(get_response))
    middleware = DatalyrMiddleware(aget_response)
    assert iscoroutinefunction(middleware)
    answer = middleware(HttpRequest())
    assert isinstance(answer, Awaitable)
    answer.close()


def test_request_type_is_for_annotations_alone() -> None:
    assert issubclass(DatalyrHttpRequest, HttpRequest)
    names = {"DjangoTracker": DjangoTracker}
    assert get_type_hints(DatalyrHttpRequest, localns=names)["datalyr"] is DjangoTracker
    assert not hasattr(DatalyrHttpRequest(), "datalyr")
