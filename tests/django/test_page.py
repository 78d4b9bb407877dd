"""What an event says of its request, where Django has settings of its own for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils.decorators import sync_and_async_middleware

from datalyr_core import current_tracker
from tests.django.conftest import AUTH, OURS, SESSION, MakeSite, Site, buy

ALL = ["url", "path", "referrer", "user_agent", "ip"]


def page(request: Any) -> HttpResponse:
    request.datalyr.page("Pricing")
    return HttpResponse()


def told(site: Site, way: str, query: str = "", **options: Any) -> dict[str, Any]:
    """Ask for the page, and return what the event says."""
    assert site.ask(way, query, **options).status_code == 200
    (event,) = site.events
    del event.properties["anonymous_id"]
    return event.properties


def full(way: str) -> str:
    return f"http://testserver/{way.split('-')[1]}"


def test_page_tells_the_url_and_where_the_visit_came_from(make_site: MakeSite, way: str) -> None:
    query = "?utm_source=news&utm_id=7&gclid=1&irclickid=2&ScCid=3&ref=a&other=4&utm_term="
    headers = {"referer": "https://search.example/?q=tea#top"}
    assert told(make_site(page), way, query, headers=headers) == {
        "name": "Pricing",
        "url": full(way) + query,
        "path": f"/{way.split('-')[1]}",
        "referrer": "https://search.example/?q=tea",
        "utm_source": "news",
        "utm_id": "7",
        "gclid": "1",
        "irclid": "2",
        "sclid": "3",
        "ref": "a",
    }


def test_page_without_a_query(make_site: MakeSite, way: str) -> None:
    assert told(make_site(page), way) == {
        "name": "Pricing",
        "url": full(way),
        "path": f"/{way.split('-')[1]}",
    }


def test_secrets_do_not_leave(make_site: MakeSite, way: str) -> None:
    headers = {"referer": "https://ada:pw@search.example/?api_key=secret"}
    properties = told(
        make_site(page), way, "?token=secret&mail=a@b.example&utm_source=a@b.example",
        headers=headers,
    )  # fmt: skip
    assert "secret" not in str(properties)
    assert "@" not in str(properties)
    assert properties["url"].startswith(f"{full(way)}?token=redacted&")
    assert properties["referrer"] == "https://search.example/?api_key=redacted"


def test_request_context_is_in_every_event(make_site: MakeSite, way: str) -> None:
    headers = {"user-agent": "Browser/1", "x-forwarded-for": "6.6.6.6"}
    assert told(make_site(buy, request_context=ALL), way, "?a=1", headers=headers) == {
        "url": f"{full(way)}?a=1",
        "path": f"/{way.split('-')[1]}",
        "user_agent": "Browser/1",
        "ip": "127.0.0.1",
    }


def test_nothing_by_default(make_site: MakeSite, way: str) -> None:
    assert told(make_site(buy), way, "?utm_source=a", headers={"user-agent": "Browser/1"}) == {}


@pytest.mark.parametrize("host", ["evil.example", "a b"])
def test_host_that_is_not_allowed_is_no_url(make_site: MakeSite, way: str, host: str) -> None:
    properties = told(make_site(page), way, "?utm_source=a", headers={"host": host})
    # With a name and no URL, the name stands for it, as in every SDK.
    assert properties == {
        "name": "Pricing",
        "url": "Pricing",
        "path": f"/{way.split('-')[1]}",
        "utm_source": "a",
    }


def test_prefix_of_the_script_is_a_part_of_the_path(make_site: MakeSite) -> None:
    properties = told(make_site(page), "wsgi-sync", SCRIPT_NAME="/shop")
    assert properties["path"] == "/shop/sync"
    assert properties["url"] == "http://testserver/shop/sync"


@pytest.mark.parametrize("believed", [True, False])
def test_proxy_is_believed_where_django_believes_it(
    make_site: MakeSite, way: str, believed: bool
) -> None:
    settings: dict[str, Any] = {
        "USE_X_FORWARDED_HOST": believed,
        "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https") if believed else None,
    }
    headers = {"x-forwarded-host": "shop.example", "x-forwarded-proto": "https"}
    properties = told(make_site(page, settings=settings), way, headers=headers)
    start = "https://shop.example/" if believed else "http://testserver/"
    assert properties["url"].startswith(start)


@pytest.mark.parametrize("header", ["HTTP_X_FORWARDED_PROTO", ("HTTP_X_FORWARDED_PROTO",), 1])
def test_proxy_setting_that_is_no_pair_harms_no_request(
    make_site: MakeSite, way: str, header: object
) -> None:
    wrong = {"SECURE_PROXY_SSL_HEADER": header}
    site = make_site(page, settings=wrong, set_visitor_cookie=True, request_context=["url"])
    assert told(site, way) == {
        "name": "Pricing",
        "url": "Pricing",
        "path": f"/{way.split('-')[1]}",
    }


@sync_and_async_middleware
def real_ip(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Correct the peer's address, as applications behind a proxy do."""

    def serve(request: Any) -> Any:
        request.META["REMOTE_ADDR"] = request.headers["x-real-ip"]
        return get_response(request)

    return serve


@pytest.mark.parametrize(("address", "expected"), [("203.0.113.7", "203.0.113.7"), ("", None)])
def test_address_is_the_one_that_django_knows(
    make_site: MakeSite, address: str, expected: str | None
) -> None:
    chain = (OURS, f"{__name__}.real_ip")
    site = make_site(buy, middleware=chain, request_context=["ip"])
    properties = told(site, "wsgi-sync", headers={"x-real-ip": address})
    assert properties.get("ip") == expected  # a Unix socket has no address


def is_probe(request: Any) -> bool:
    return "probe" in request.GET


def noted(request: Any) -> HttpResponse:
    tracker = current_tracker()
    if tracker is not None:
        tracker.track("By context")
    request.datalyr.track("By request")
    return HttpResponse()


@pytest.mark.parametrize("exclude", [is_probe, f"{__name__}.is_probe"])
def test_excluded_request_has_no_current_tracker(
    make_site: MakeSite, way: str, exclude: Any
) -> None:
    site = make_site(noted, exclude=exclude, set_visitor_cookie=True)
    response = site.ask(way, "?probe=1")
    assert not response.cookies
    assert [event.event for event in site.events] == ["By request"]
    assert site.ask(way).cookies
    assert len(site.events) == 3


@pytest.mark.parametrize(
    ("exclude", "excluded"),
    [
        ([], False),
        (["/"], True),
        (["/sync", "/async"], True),
        (["/syn", "/asyn", "/sync/", "/async/"], False),
        ("/sync,/async", True),
    ],
)
def test_excluded_paths(make_site: MakeSite, way: str, exclude: Any, excluded: bool) -> None:
    site = make_site(noted, exclude=exclude, set_visitor_cookie=True)
    assert bool(site.ask(way).cookies) is not excluded
    assert len(site.events) == (1 if excluded else 2)


def test_excluded_request_inside_another_has_no_current_tracker(make_site: MakeSite) -> None:
    """A view that asks its own site, as tests and prerenderers do."""
    site = make_site(exclude=is_probe)
    seen: list[Any] = []

    def view(request: Any) -> HttpResponse:
        seen.append(current_tracker())
        if not is_probe(request):
            site.get("/sync?probe=1")
            seen.append(current_tracker())
        return HttpResponse()

    site = make_site(view, exclude=is_probe, middleware=(SESSION, AUTH, OURS))
    site.get()
    outer, inner, again = seen
    assert inner is None
    assert outer is again is not None
