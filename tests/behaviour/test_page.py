"""What an event says of its request, the same in every framework."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.conftest import MakeSite, Site

BROWSER = {"Referer": "https://search.example/?q=shoes&token=abc", "User-Agent": "Browser/1"}


def viewed(site: Site, path: str = "/page", headers: Any = None, **how: Any) -> dict[str, Any]:
    assert site.get(path, headers, **how).status == 200
    return {k: v for k, v in site.events()[-1].properties.items() if k != "anonymous_id"}


def test_page_tells_where_the_visit_came_from(site: Site) -> None:
    query = "?utm_source=news&utm_campaign=a%20b&gclid=1&ScCid=2&other=3"
    assert viewed(site, f"/page{query}", BROWSER) == {
        "url": f"http://shop.example/{site.kind}/page{query}",
        "path": f"/{site.kind}/page",
        "referrer": "https://search.example/?q=shoes&token=redacted",
        "utm_source": "news",
        "utm_campaign": "a b",
        "gclid": "1",
        "sclid": "2",
    }


def test_secrets_and_addresses_are_redacted(site: Site) -> None:
    told = viewed(site, "/page?email=a%40b.example&x=a@b.example&token=t&utm_term=a%40b.example")
    assert told["url"].endswith("?email=redacted&x=redacted&token=redacted&utm_term=redacted")
    assert "utm_term" not in told


def test_url_is_as_the_browser_wrote_it(site: Site) -> None:
    """Percent-encoded, so that one page is one URL, whatever serves it."""
    told = viewed(site, "/p%61ge?q=%C3%A9%26%20+1&empty=", scheme="https")
    assert told["url"] == f"https://shop.example/{site.kind}/page?q=%C3%A9%26%20+1&empty="


@pytest.mark.parametrize(
    "host",
    ["evil example", "[::1", "shop.example/path", "user@shop.example", "a:b:c", "\xff", "xn--a"],
)
def test_hostile_host_changes_nothing_but_the_url(make_site: MakeSite, host: str) -> None:
    site = make_site(request_context=["url", "path"])
    headers = {"Host": host}
    assert site.get("/silent", headers).status == 200
    told = viewed(site, headers=headers)
    assert told["path"] == f"/{site.kind}/page"
    assert told.get("url") in (None, f"http://{host}/{site.kind}/page")
    assert site.get("/buy", headers).status == 200
    assert [event.event for event in site.events()][-2:] == ["Cart Viewed", "Purchase Completed"]


def test_nothing_is_told_unless_configured(site: Site) -> None:
    told = viewed(site, "/buy?utm_source=news", BROWSER)
    assert told == {"amount": 99.99}


def test_request_context_is_told_of_every_event(make_site: MakeSite) -> None:
    site = make_site(request_context=["url", "path", "referrer", "user_agent", "ip"])
    told = viewed(site, "/buy?token=t", BROWSER)
    assert told == {
        "amount": 99.99,
        "url": f"http://shop.example/{site.kind}/buy?token=redacted",
        "path": f"/{site.kind}/buy",
        "referrer": "https://search.example/?q=shoes&token=redacted",
        "user_agent": "Browser/1",
        "ip": "203.0.113.7",
    }


def test_forwarded_for_is_not_believed(make_site: MakeSite) -> None:
    site = make_site(request_context=["ip"])
    assert viewed(site, "/buy", {"X-Forwarded-For": "6.6.6.6"})["ip"] == "203.0.113.7"


def test_excluded_paths_have_no_current_tracker(make_site: MakeSite) -> None:
    site = make_site(exclude=["/sync/buy", "/async/buy"], set_visitor_cookie=True)
    answer = site.get("/buy")
    assert answer.status == 200
    assert not answer.all("set-cookie")
    assert [event.event for event in site.events()] == ["Cart Viewed"]  # by the request itself
    assert site.get("/page").all("set-cookie")


def test_exclude_is_asked_of_a_callable(make_site: MakeSite) -> None:
    site = make_site(exclude=lambda request: "X-Probe" in request.headers)
    site.get("/buy", {"X-Probe": "1"})
    assert len(site.events()) == 1
    site.get("/buy")
    assert len(site.events()) == 3


def test_exclude_is_asked_once(make_site: MakeSite) -> None:
    asked = []
    site = make_site(exclude=asked.append, set_visitor_cookie=True)
    site.get("/buy")
    assert len(asked) == 1


def test_exclude_that_raises_excludes_nothing(make_site: MakeSite) -> None:
    site = make_site(exclude=lambda request: 1 / 0)
    assert site.get("/buy").status == 200
    assert len(site.events()) == 2
