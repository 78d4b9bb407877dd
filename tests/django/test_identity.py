"""Whose events they are: the visitor."""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.django.conftest import MakeSite, Site, buy

ID = r"anon_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def visitors(site: Site) -> list[str]:
    return [event.anonymous_id for event in site.events]


def test_first_of_two_cookies_counts(make_site: MakeSite, way: str) -> None:
    site = make_site()
    site.ask(way, headers={"cookie": "a=1; __dl_visitor_id=first; __dl_visitor_id=second"})
    assert visitors(site) == ["first"]


def test_cookie_is_percent_decoded(make_site: MakeSite, way: str) -> None:
    site = make_site()
    site.ask(way, headers={"cookie": "__dl_visitor_id=anon%5F%7Ba%7D"})
    assert visitors(site) == ["anon_{a}"]


def test_cookies_in_two_header_lines_stay_two_cookies(make_site: MakeSite) -> None:
    """HTTP/2 allows it; Django joins the lines with a comma."""
    site = make_site()
    lines = [(b"cookie", b"theme=dark"), (b"cookie", b"__dl_visitor_id=v1"), (b"cookie", b"z=1")]
    async_to_sync(site.abrowser.request)(path="/async", headers=[(b"host", b"testserver"), *lines])
    assert visitors(site) == ["v1"]


def test_request_without_a_cookie_header_gets_an_id(make_site: MakeSite) -> None:
    site = make_site(request_context=["ip"])
    scope = {"type": "http", "method": "GET", "path": "/async", "headers": []}
    request = ASGIRequest(scope, BytesIO())  # not even the peer is known
    handler = site.abrowser.handler
    handler.load_middleware(is_async=True)
    async_to_sync(handler.get_response_async)(request)


HOSTILE = {
    "10 kB": "x" * 10_000,
    "control characters": "a%00b",
    "line break": "a%0d%0ab",
    "space": "a%20b",
    "invalid UTF-8 after decoding": "a%ff%fe",
    "not ASCII after decoding": "%C3%A9",
    "raw bytes": "\xff\xfe",
    "empty": "",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_cookie_counts_as_absent(make_site: MakeSite, way: str, kind: str) -> None:
    site = make_site()
    response = site.ask(way, headers={"cookie": f"__dl_visitor_id={HOSTILE[kind]}"})
    assert response.status_code == 200
    (visitor,) = visitors(site)
    if kind == "invalid UTF-8 after decoding":  # visible ASCII as it stands
        assert visitor == "a%ff%fe"
    else:
        assert visitor.startswith("anon_")


def test_hundreds_of_copies_are_one_visitor(make_site: MakeSite, way: str) -> None:
    site = make_site()
    copies = "; ".join(f"__dl_visitor_id=copy-{n}" for n in range(500))
    site.ask(way, headers={"cookie": copies})
    assert visitors(site) == ["copy-0"]


@given(cookie=st.text(st.characters(max_codepoint=255), max_size=60))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_cookie_header_breaks_a_request(make_site: MakeSite, cookie: str) -> None:
    site = make_site(enabled=False)
    for ask in (site.get, site.aget):
        response = ask(headers={"cookie": f"__dl_visitor_id={cookie}"})
        assert response.status_code == 200
        visitor = response.content.decode()
        assert 1 <= len(visitor) <= 256
        assert all("!" <= each <= "~" for each in visitor)


def test_configured_header_stands_in_for_the_cookie(make_site: MakeSite, way: str) -> None:
    site = make_site(anonymous_id_header="X-Visitor-Id")
    site.ask(way, headers={"x-visitor-id": "app-1"})
    site.ask(way, headers={"x-visitor-id": "app-1", "cookie": "__dl_visitor_id=web-1"})
    site.ask(way, headers={"x-visitor-id": "app 1"})
    first, second, third = visitors(site)
    assert (first, second) == ("app-1", "web-1")
    assert third.startswith("anon_")


def test_header_is_ignored_unless_configured(make_site: MakeSite, way: str) -> None:
    site = make_site()
    site.ask(way, headers={"x-visitor-id": "app-1", "anonymous-id": "app-1"})
    assert visitors(site)[0].startswith("anon_")


def test_one_fresh_id_for_a_request_and_another_for_the_next(make_site: MakeSite, way: str) -> None:
    def view(request: Any) -> HttpResponse:
        return HttpResponse({buy(request).content, buy(request).content})

    site = make_site(view)
    told = [site.ask(way).content.decode() for _ in range(2)]
    first, again, second, also = visitors(site)
    assert first == again != second == also
    assert told == [first, second]
    assert re.fullmatch(ID, first)


def test_never_from_the_url(make_site: MakeSite, way: str) -> None:
    site = make_site(anonymous_id_header="X-Visitor-Id")
    site.ask(way, "?__dl_visitor_id=evil&X-Visitor-Id=evil&anonymous_id=evil&user_id=evil")
    (event,) = site.events
    assert event.anonymous_id.startswith("anon_")
    assert event.user_id is None
