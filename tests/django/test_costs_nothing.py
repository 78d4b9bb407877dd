"""A request that tracks nothing is served as if Datalyr were not there."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from django.http.request import RawPostDataException

from tests.django.accounts.models import Customer
from tests.django.chain import ASYNC_ONLY, SYNC_ONLY, note_place
from tests.django.conftest import AUTH, OURS, SESSION, MakeSite, Site, buy, silent


def request_of(response: Any) -> Any:
    return getattr(response, "wsgi_request", None) or response.asgi_request


def test_no_query_no_header_no_cookie(
    make_site: MakeSite, customer: Customer, way: str, django_assert_num_queries: Any
) -> None:
    site = make_site(silent)
    site.log_in(customer)
    with django_assert_num_queries(0):
        response = site.ask(way)
    assert dict(response.headers) == {"Content-Type": "text/html; charset=utf-8"}
    assert not response.cookies
    assert not request_of(response).session.accessed


def test_excluded_and_asked_for_consent_alone_costs_no_query_either(
    make_site: MakeSite, customer: Customer, way: str, django_assert_num_queries: Any
) -> None:
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{request.datalyr.allowed} {request.datalyr.anonymous_id}")

    site = make_site(view)
    site.log_in(customer)
    with django_assert_num_queries(0):
        response = site.ask(way)
    assert response.content.startswith(b"True anon_")
    assert "Vary" not in response.headers


@pytest.mark.parametrize("chain", [(), (OURS,), (SESSION, AUTH, OURS)])
@pytest.mark.parametrize("host", ["evil.example", "a b", "[", "shop.example:99999", ""])
def test_bad_host_changes_nothing(
    make_site: MakeSite, way: str, chain: tuple[str, ...], host: str
) -> None:
    site = make_site(silent, middleware=chain, set_visitor_cookie=False)
    response = site.ask(way, headers={"host": host})
    assert (response.status_code, response.content) == (200, b"nothing tracked")


@pytest.mark.parametrize("host", ["evil.example", "a b", "["])
def test_bad_host_leaves_the_url_out_of_an_event(make_site: MakeSite, way: str, host: str) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.page()
        return HttpResponse()

    site = make_site(view, request_context=["url", "path"])
    assert site.ask(way, headers={"host": host}).status_code == 200
    (event,) = site.events
    assert event.properties["path"] == f"/{way.split('-')[1]}"
    assert "url" not in event.properties


@pytest.mark.parametrize("view", [silent, buy])
def test_body_is_left_to_the_view(make_site: MakeSite, view: Any) -> None:
    def reading(request: Any) -> HttpResponse:
        view(request)
        body = request.read()
        view(request)
        with pytest.raises(RawPostDataException):
            _ = request.body  # so it would be for us, had we asked
        return HttpResponse(body)

    site = make_site(reading, request_context=["url", "path", "referrer", "user_agent", "ip"])
    response = site.browser.post("/sync", b"a body", content_type="text/plain")
    assert (response.status_code, response.content) == (200, b"a body")


def test_form_can_still_be_read_after_tracking(make_site: MakeSite) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.page()
        return HttpResponse(request.POST["item"])

    assert make_site(view).browser.post("/sync", {"item": "tea"}).content == b"tea"


def places(site: Site) -> set[Any]:
    return request_of(site.aget()).places


def test_asynchronous_chain_stays_in_one_task(make_site: MakeSite) -> None:
    """A middleware that is synchronous alone would leave the loop for a thread, and come back."""

    async def view(request: Any) -> HttpResponse:
        note_place(request)
        return buy(request)

    assert len(places(make_site(view, middleware=(ASYNC_ONLY, OURS, ASYNC_ONLY)))) == 1
    assert len(places(make_site(view, middleware=(ASYNC_ONLY, SYNC_ONLY, ASYNC_ONLY)))) == 3


def test_synchronous_chain_stays_in_one_thread_without_a_loop(make_site: MakeSite) -> None:
    def view(request: Any) -> HttpResponse:
        note_place(request)
        return buy(request)

    site = make_site(view, middleware=(SYNC_ONLY, OURS, SYNC_ONLY))
    ((_, task),) = request_of(site.get()).places
    assert task is None
