"""Who an event belongs to, the same in every framework."""

from __future__ import annotations

import re

import pytest

from tests.behaviour.conftest import MakeSite, Site

FRESH = re.compile(r"anon_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def visitor(site: Site, cookie: str | None = None, **headers: str) -> str:
    """Buy, and return the one visitor to whom the events of that request belong."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if cookie is not None:
        sent["Cookie"] = cookie
    answer = site.get("/buy", sent)
    assert answer.status == 200
    bought = site.events()[-2:]
    assert [event.event for event in bought] == ["Cart Viewed", "Purchase Completed"]
    (found,) = {event.anonymous_id for event in bought}
    assert answer.body == found
    assert all(event.properties["anonymous_id"] == found for event in bought)
    return found


def test_cookie_is_the_visitor(site: Site) -> None:
    assert visitor(site, "a=b; __dl_visitor_id=anon_1; c=d") == "anon_1"


def test_first_of_two_cookies_counts(site: Site) -> None:
    assert visitor(site, "__dl_visitor_id=first; __dl_visitor_id=second") == "first"


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("anon%5F1%3A2%25", "anon_1:2%"),
        ("anon%zz%5F", "anon%zz_"),  # a malformed sequence stays as it stands
        ("%ff%fe", "%ff%fe"),  # and so does what is no UTF-8
        ("a=b=c", "a=b=c"),
        ("x" * 256, "x" * 256),
    ],
)
def test_value_is_percent_decoded(site: Site, cookie: str, expected: str) -> None:
    assert visitor(site, f"__dl_visitor_id={cookie}") == expected


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "x" * 257,
        "x" * 10_240,
        "a\x01b",
        "a\tb",
        "a%00b",
        "a%0d%0ab",
        "a%20b",
        "%C3%A9",
        "\xc3\xa9",
        "\xff\xfe",
        "%F0%9F%92%A9",
        "a%7F",
    ],
)
def test_hostile_cookie_counts_as_absent(site: Site, cookie: str) -> None:
    assert FRESH.match(visitor(site, f"__dl_visitor_id={cookie}"))


@pytest.mark.parametrize(
    "cookie",
    ["__dl_visitor_id", "=", ";;;", "; =;__dl_visitor_idx=1", "x__dl_visitor_id=1", "\xff"],
)
def test_malformed_header_has_no_visitor(site: Site, cookie: str) -> None:
    assert FRESH.match(visitor(site, cookie))


def test_hundreds_of_copies(site: Site) -> None:
    copies = "; ".join(f"__dl_visitor_id=v{n}" for n in range(500))
    assert visitor(site, copies) == "v0"


def test_cookie_of_another_name(make_site: MakeSite) -> None:
    site = make_site(cookie_name="shop_visitor")
    assert visitor(site, "__dl_visitor_id=other; shop_visitor=mine") == "mine"


def test_header_stands_in_for_the_cookie(make_site: MakeSite) -> None:
    site = make_site(anonymous_id_header="X-Visitor")
    assert visitor(site, X_Visitor="app_1") == "app_1"
    assert visitor(site, "__dl_visitor_id=cookie", X_Visitor="app_1") == "cookie"
    assert visitor(site, "__dl_visitor_id=%00", X_Visitor="app_1") == "app_1"
    assert FRESH.match(visitor(site, X_Visitor="app 1"))
    assert FRESH.match(visitor(site, X_Visitor="x" * 10_240))


def test_header_is_ignored_unless_configured(site: Site) -> None:
    assert FRESH.match(visitor(site, X_Visitor="app_1", X_Anonymous_Id="app_1"))


def test_fresh_id_for_each_request(site: Site) -> None:
    ids = [visitor(site) for _ in range(3)]
    assert all(FRESH.match(each) for each in ids)
    assert len(set(ids)) == 3


def test_never_from_the_url(site: Site) -> None:
    site.get("/buy?_dl_vid=stolen&__dl_visitor_id=stolen&anonymous_id=stolen&user_id=7")
    events = site.events()
    assert len(events) == 2
    assert all(FRESH.match(event.anonymous_id) and event.user_id is None for event in events)


def test_authenticated_user(site: Site) -> None:
    visitor(site, X_Session="42")
    visitor(site)
    assert [event.user_id for event in site.events()] == ["42", "42", None, None]


def test_nothing_that_the_client_sends_names_the_user(make_site: MakeSite) -> None:
    """Other SDKs have headers for it, and let them win over who is logged in."""
    site = make_site(anonymous_id_header="X-Visitor")
    names = ("User_Id", "X_User_Id", "X_Distinct_Id", "X_Datalyr_User_Id", "X_Visitor")
    claims = dict.fromkeys(names, "admin")
    cookie = "__dl_user_id=admin; user_id=admin; userId=admin"
    visitor(site, cookie, X_Session="42", **claims)
    visitor(site, cookie, **claims)
    assert [event.user_id for event in site.events()] == ["42", "42", None, None]


def test_user_look_up_that_fails_is_no_user(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    visitor(site, X_Session="broken")
    assert [event.user_id for event in site.events()] == [None, None]
    assert "the users' database is away" in caplog.text


def test_user_is_asked_of_a_callable(make_site: MakeSite) -> None:
    site = make_site(user_id=lambda request: int(request.headers["X-Account"]))
    visitor(site, X_Account="0", X_Session="42")
    assert [event.user_id for event in site.events()] == ["0", "0"]


def test_identify_counts_for_the_rest_of_the_request(site: Site) -> None:
    answer = site.get("/sign_up?user=7", {"Cookie": "__dl_visitor_id=v"})
    site.get("/buy", {"Cookie": "__dl_visitor_id=v"})
    assert answer.body == "7"
    # An event from before it may have waited for the user, and then bears that one too.
    events = [event for event in site.events() if event.event != "Form Opened"]
    told = [(event.event, event.user_id, event.anonymous_id) for event in events]
    assert sorted(told, key=str) == [
        ("$identify", "7", "v"),
        ("Cart Viewed", None, "v"),
        ("Purchase Completed", None, "v"),
        ("Signed Up", "7", "v"),
    ]


def test_identify_beats_the_session(site: Site) -> None:
    site.get("/sign_up?user=7", {"X-Session": "42"})
    users = {event.event: event.user_id for event in site.events()}
    assert users["$identify"] == users["Signed Up"] == "7"


def test_every_call_carries_visitor_and_user(site: Site) -> None:
    site.get("/every_call", {"Cookie": "__dl_visitor_id=v", "X-Session": "42"})
    events = {event.event: event for event in site.events()}
    assert set(events) == {"$group", "$alias", "purchase"}
    assert all(event.anonymous_id == "v" for event in events.values())
    assert events["$group"].user_id == events["purchase"].user_id == "42"
    assert events["$alias"].user_id == "new_id"
    assert events["$alias"].properties["previous_id"] == "v"
    assert events["purchase"].event_id == "order-1"
    assert events["purchase"].properties["currency"] == "EUR"
