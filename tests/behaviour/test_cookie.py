"""The cookie that a new visitor gets from the server, the same in every framework."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest

from tests.behaviour.conftest import MakeSite
from tests.behaviour.gateway import Answer


def parts(answer: Answer) -> set[str]:
    (cookie,) = answer.all("set-cookie")
    return set(cookie.split("; "))


def respond(**headers: str) -> str:
    return "/respond?" + urlencode({name.replace("_", "-"): v for name, v in headers.items()})


def test_attributes_are_those_of_the_browser_sdk(make_site: MakeSite) -> None:
    site = make_site(set_visitor_cookie=True)
    answer = site.get("/buy")
    (visitor,) = {event.anonymous_id for event in site.events()}
    assert parts(answer) == {
        f"__dl_visitor_id={visitor}",
        "Path=/",
        "Max-Age=31536000",
        "SameSite=Lax",
    }
    assert answer.all("cache-control") == ["private"]


def test_secure_domain_and_name(make_site: MakeSite) -> None:
    site = make_site(set_visitor_cookie=True, cookie_domain=".shop.example", cookie_name="who")
    told = parts(site.get("/buy", scheme="https"))
    assert {"Secure", "Domain=.shop.example"} < told
    assert any(re.match("who=anon_", each) for each in told)


def test_no_cookie_unless_configured(make_site: MakeSite) -> None:
    answer = make_site().get("/buy")
    assert not answer.all("set-cookie")
    assert not answer.all("cache-control")


@pytest.mark.parametrize("cookie", ["__dl_visitor_id=v", "__dl_visitor_id=%5F"])
def test_no_cookie_for_a_known_visitor(make_site: MakeSite, cookie: str) -> None:
    answer = make_site(set_visitor_cookie=True).get("/buy", {"Cookie": cookie})
    assert not answer.all("set-cookie")
    assert not answer.all("cache-control")


def test_cookie_that_the_application_sets_itself_stays(make_site: MakeSite) -> None:
    site = make_site(set_visitor_cookie=True)
    own = "__dl_visitor_id=anon_restored; Path=/"
    answer = site.get(respond(Set_Cookie=own))
    assert answer.all("set-cookie") == [own]
    assert not answer.all("cache-control")
    other = site.get(respond(Set_Cookie="theme=dark"))
    assert len(other.all("set-cookie")) == 2


def test_unusable_cookie_is_replaced(make_site: MakeSite) -> None:
    site = make_site(set_visitor_cookie=True)
    assert site.get("/buy", {"Cookie": "__dl_visitor_id=%00"}).all("set-cookie")


def test_page_that_tracks_nothing(make_site: MakeSite) -> None:
    """An HTML page gets it, anything else only where the tracker was used."""
    site = make_site(set_visitor_cookie=True)
    assert site.get("/silent").all("set-cookie")
    json = "Content-Type=application%2Fjson"
    assert not site.get(f"/silent?{json}").all("set-cookie")
    assert site.get(f"/respond?{json}").all("set-cookie")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Cache_Control": "public, max-age=60"}, False),
        ({"Cache_Control": "max-age=60"}, False),
        ({"Cache_Control": "s-maxage=60"}, False),
        ({"Cache_Control": "private, public"}, False),
        ({"Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}, False),
        ({"CDN_Cache_Control": "max-age=60", "Cache_Control": "private"}, False),
        ({"Surrogate_Control": "max-age=60"}, False),
        ({"Cache_Control": "private, max-age=60"}, True),
        ({"Cache_Control": "No-Store"}, True),
    ],
)
def test_shared_caches(make_site: MakeSite, headers: dict[str, str], allowed: bool) -> None:
    """A response that a shared cache may keep bears no cookie: it would merge people."""
    answer = make_site(set_visitor_cookie=True).get(respond(**headers))
    assert bool(answer.all("set-cookie")) is allowed
    told = [value.lower() for value in answer.all("cache-control")]
    wanted = [v.lower() for k, v in headers.items() if k == "Cache_Control"]
    # In Django it becomes private too: its own cache did not always heed "no-store".
    assert told in ([wanted, [", ".join([*wanted, "private"])]] if allowed else [wanted])


def test_not_modified_bears_no_cookie(make_site: MakeSite) -> None:
    answer = make_site(set_visitor_cookie=True).get("/respond?status=304")
    assert answer.status == 304
    assert not answer.all("set-cookie")


def test_cookies_of_the_application_stay(make_site: MakeSite) -> None:
    answer = make_site(set_visitor_cookie=True).get(respond(Set_Cookie="mine=1"))
    cookies = answer.all("set-cookie")
    assert len(cookies) == 2
    assert "mine=1" in cookies


def test_stream_gets_the_id_that_its_events_bear(make_site: MakeSite) -> None:
    site = make_site(set_visitor_cookie=True)
    answer = site.get("/streaming?n=1")
    (visitor,) = {event.anonymous_id for event in site.events()}
    assert f"__dl_visitor_id={visitor}" in parts(answer)
    assert answer.body == "secondthird"


def test_event_after_the_response_has_begun_bears_the_id_of_the_cookie(make_site: MakeSite) -> None:
    site = make_site(set_visitor_cookie=True)
    answer = site.get("/late?Content-Type=text%2Fhtml")
    (event,) = site.events()
    assert answer.body == f"begun{event.anonymous_id}"
    assert f"__dl_visitor_id={event.anonymous_id}" in parts(answer)
