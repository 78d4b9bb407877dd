"""A tracker on a hand-made request; a list takes its events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from datalyr_core import Config, DropReason, Event, Tracker
from datalyr_core.web_request import PENDING
from tests.support.web import PlainRequest

COOKIE = "__dl_visitor_id=anon_1"
OPTED_OUT = f"{COOKIE}; __dl_opt_out=true"
HTML = {"content-type": "text/html"}


class Made:
    """Keep what a tracker gave away."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.drops: list[tuple[str, DropReason, str]] = []

    def tracker(self, request: PlainRequest | None = None, **options: Any) -> Tracker:
        config = Config(api_key="dk_test", **options)
        request = request or PlainRequest(cookie=COOKIE)
        return Tracker(request, config, self.events.append, self._drop)

    def _drop(self, event: Event, reason: DropReason, why: str) -> None:
        self.drops.append((event.event, reason, why))

    @property
    def ids(self) -> list[tuple[str, str | None]]:
        return [(event.anonymous_id, event.user_id) for event in self.events]


@pytest.fixture
def made() -> Made:
    return Made()


# Who


def test_nothing_is_asked_of_the_request_before_an_event_is_tracked(made: Made) -> None:
    request = PlainRequest(cookie=COOKIE, user_id="u")
    made.tracker(request)
    assert not request.asked


def test_the_visitor_is_the_cookies(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=f"{COOKIE}; __dl_visitor_id=anon_2"))
    tracker.track("E")
    assert tracker.anonymous_id == "anon_1"
    assert made.ids == [("anon_1", None)]


def test_the_header_counts_only_if_configured_and_without_a_cookie(made: Made) -> None:
    headers = {"x-visitor": "anon_h"}
    ask = {"anonymous_id_header": "X-Visitor"}
    assert made.tracker(PlainRequest(headers=headers)).anonymous_id != "anon_h"
    assert made.tracker(PlainRequest(headers=headers), **ask).anonymous_id == "anon_h"
    both = PlainRequest(headers=headers, cookie=COOKIE)
    assert made.tracker(both, **ask).anonymous_id == "anon_1"
    bad = PlainRequest(headers={"x-visitor": "a b"})
    assert str(made.tracker(bad, **ask).anonymous_id).startswith("anon_")


def test_a_visitor_without_an_id_gets_one_fresh_id_for_the_request(made: Made) -> None:
    for _ in range(2):
        tracker = made.tracker(PlainRequest(query="_dl_vid=anon_evil"))
        tracker.track("A")
        tracker.track("B")
    first, second, third, fourth = (anonymous for anonymous, _ in made.ids)
    assert first == second != third == fourth
    assert "evil" not in f"{first}{third}"


@pytest.mark.parametrize("value", ["x" * 10_000, "a b", "%00", "", "%E2%98%83"])
def test_a_hostile_cookie_counts_as_none(value: str, made: Made) -> None:
    made.tracker(PlainRequest(cookie=f"__dl_visitor_id={value}")).track("E")
    assert made.ids[0][0].startswith("anon_")


def test_the_cookies_name_can_be_changed(made: Made) -> None:
    request = PlainRequest(cookie=f"{COOKIE}; mine=anon_m")
    assert made.tracker(request, cookie_name="mine").anonymous_id == "anon_m"


def test_the_user_is_the_servers_own(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id=42))
    tracker.track("E")
    assert tracker.user_id == "42"
    assert made.ids == [("anon_1", "42")]


def test_a_callable_names_the_user_and_gets_the_native_request(made: Made) -> None:
    request = PlainRequest(cookie=COOKIE, user_id="not asked")
    seen = []
    tracker = made.tracker(request, user_id=lambda native: seen.append(native) or "mine")
    tracker.track("E")
    assert made.ids == [("anon_1", "mine")]
    assert seen == [request]


@pytest.mark.parametrize("user", [RuntimeError("database"), True, 1.5])
def test_a_look_up_that_fails_is_no_user(
    user: object, made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id=user))
    tracker.track("E")
    assert made.ids == [("anon_1", None)]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "could not be looked up" in caplog.text


def test_identify_counts_for_the_rest_of_the_request(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id="authenticated"))
    tracker.track("before")
    tracker.identify("said", {"plan": "pro"})
    tracker.track("after")
    assert [user for _, user in made.ids] == ["authenticated", "said", "said"]
    assert made.events[1].event == "$identify"
    assert made.events[1].properties == {"plan": "pro"}


@pytest.mark.parametrize("nobody", [None, "", True, []])
def test_an_identify_of_nobody_is_dropped_and_changes_nothing(nobody: object, made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id="authenticated"))
    assert tracker.identify(nobody) is None
    tracker.track("after")
    assert [drop[:2] for drop in made.drops] == [("$identify", DropReason.VALIDATION_ERROR)]
    assert made.ids == [("anon_1", "authenticated")]


def test_a_user_id_that_is_set_sends_nothing_and_counts_from_then_on(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id="authenticated"))
    tracker.user_id = 7
    assert made.events == []
    assert tracker.user_id == "7"
    tracker.user_id = None
    tracker.track("E")
    assert made.ids == [("anon_1", None)]


def test_a_user_id_of_a_wrong_type_is_refused_with_a_warning(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id="authenticated"))
    tracker.user_id = ["u"]
    assert tracker.user_id == "authenticated"
    assert "the user was not set: user_id must be" in caplog.text


# What


def test_every_call_makes_its_event_for_this_visitor(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id="u"))
    tracker.track("E", {"a": 1}, event_id="evt_1", timestamp=0)
    tracker.group("g", {"name": "Acme"})
    tracker.track_purchase(49.99, "eur", {"order": 1}, event_id="evt_2", timestamp=0)
    tracker.alias("new")
    told = [(e.event, e.user_id, e.anonymous_id, e.properties) for e in made.events]
    assert told == [
        ("E", "u", "anon_1", {"a": 1}),
        ("$group", "u", "anon_1", {"groupId": "g", "name": "Acme"}),
        ("purchase", "u", "anon_1", {"order": 1, "value": 49.99, "currency": "EUR"}),
        (
            "$alias",
            "new",
            "anon_1",
            {
                "new_user_id": "new",
                "previous_id": "anon_1",
                "userId": "new",
                "previousId": "anon_1",
            },
        ),
    ]
    assert [e.event_id for e in made.events][::2] == ["evt_1", "evt_2"]
    assert made.events[0].timestamp == made.events[2].timestamp == "1970-01-01T00:00:00.000Z"


def test_page_tells_of_the_request_and_the_caller_wins(made: Made) -> None:
    request = PlainRequest(cookie=COOKIE, path="/p", url="https://e.com/p?gclid=1", query="gclid=1")
    tracker = made.tracker(request)
    tracker.page()
    tracker.page("Home", {"path": "/mine"})
    facts = {"url": "https://e.com/p?gclid=1", "path": "/p", "gclid": "1"}
    assert [event.properties for event in made.events] == [
        facts,
        {**facts, "name": "Home", "path": "/mine"},
    ]


def test_request_context_adds_facts_to_every_event_but_the_callers_win(made: Made) -> None:
    request = PlainRequest(cookie=COOKIE, ip="192.0.2.1", path="/p")
    tracker = made.tracker(request, request_context=["ip", "path", "user_agent"])
    tracker.track("E", {"path": "mine"})
    assert made.events[0].properties == {"path": "mine", "ip": "192.0.2.1"}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda tracker: tracker.track(""), ""),
        (lambda tracker: tracker.track(5), ""),
        (lambda tracker: tracker.track("E", "no mapping"), "E"),
        (lambda tracker: tracker.group(None), "$group"),
        (lambda tracker: tracker.alias(""), "$alias"),
        (lambda tracker: tracker.track_purchase("x"), "purchase"),
    ],
)
def test_a_call_that_makes_no_event_is_dropped(
    call: Callable[[Tracker], object], name: str, made: Made
) -> None:
    assert call(made.tracker()) is None
    [(event, reason, why)] = made.drops
    assert (event, reason) == (name, DropReason.VALIDATION_ERROR)
    assert why


def test_drops_need_nobody_to_count_them() -> None:
    events: list[Event] = []
    tracker = Tracker(PlainRequest(), Config(api_key="dk_test"), events.append)
    assert tracker.track("") is None
    assert tracker.client is None


# Consent


@pytest.mark.parametrize(
    "request_", [PlainRequest(cookie=OPTED_OUT), PlainRequest(headers={"sec-gpc": "1"})]
)
def test_a_visitor_who_said_no_is_not_tracked(request_: PlainRequest, made: Made) -> None:
    tracker = made.tracker(request_, set_visitor_cookie=True)
    assert tracker.track("E") is None
    assert tracker.identify("u") is None
    assert not tracker.allowed
    assert tracker.anonymous_id is None
    assert tracker.cookie_headers(200, HTML.get) == []
    assert made.events == []
    assert {(event, reason) for event, reason, _ in made.drops} == {
        ("E", DropReason.CONSENT),
        ("$identify", DropReason.CONSENT),
    }


def test_dnt_counts_only_if_configured(made: Made) -> None:
    request = PlainRequest(headers={"dnt": "1"})
    assert made.tracker(request).allowed
    assert not made.tracker(request, respect_dnt=True).allowed


def test_signals_can_be_ignored(made: Made) -> None:
    assert made.tracker(PlainRequest(cookie=OPTED_OUT), respect_opt_out=False).allowed
    request = PlainRequest(headers={"sec-gpc": "1"})
    assert made.tracker(request, respect_gpc=False).allowed


# A user who has to be awaited


def test_events_wait_for_a_pending_user(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id=PENDING))
    properties = {"items": [1]}
    event_id = tracker.track("E", properties)
    properties["items"].append(2)
    assert (made.events, tracker.needs_user, tracker.user_id) == ([], True, None)
    tracker.settle("found")
    assert made.ids == [("anon_1", "found")]
    assert made.events[0].event_id == event_id
    assert made.events[0].properties == {"items": [1]}
    assert not tracker.needs_user


@pytest.mark.parametrize("found", [None, "", True])
def test_a_look_up_that_finds_nobody_releases_them_without_a_user(
    found: object, made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id=PENDING))
    tracker.track("E")
    tracker.settle(found)
    assert made.ids == [("anon_1", None)]
    assert ("the user was not set" in caplog.text) is (found is True)


def test_what_the_application_says_meanwhile_wins(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id=PENDING))
    tracker.track("waits")
    tracker.user_id = "said"
    tracker.settle("found")
    tracker.track("later")
    assert made.ids == [("anon_1", "found"), ("anon_1", "said")]


def test_after_the_tail_nothing_waits_any_more(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id=PENDING))
    tracker.settle()
    tracker.track("late")
    assert made.ids == [("anon_1", None)]


# The cookie


def test_a_new_visitor_gets_the_cookie_of_the_id_that_was_used(made: Made) -> None:
    tracker = made.tracker(PlainRequest(secure=True), set_visitor_cookie=True)
    tracker.track("E")
    [(name, cookie), (other, value)] = tracker.cookie_headers(200, {}.get)
    assert name.lower() == "set-cookie"
    assert cookie.startswith(f"__dl_visitor_id={made.ids[0][0]}; Path=/; Max-Age=31536000")
    assert cookie.endswith("; Secure")
    assert (other.lower(), value) == ("cache-control", "private")


def test_no_cookie_unless_asked_for_and_none_for_a_known_visitor(made: Made) -> None:
    assert made.tracker(PlainRequest()).cookie_headers(200, HTML.get) == []
    known = made.tracker(PlainRequest(cookie=COOKIE), set_visitor_cookie=True)
    assert known.cookie_headers(200, HTML.get) == []


def test_a_response_that_is_no_page_gets_one_only_where_the_tracker_was_used(made: Made) -> None:
    json = {"content-type": "application/json"}.get
    unused = made.tracker(PlainRequest(), set_visitor_cookie=True)
    assert unused.cookie_headers(200, json) == []
    used = made.tracker(PlainRequest(), set_visitor_cookie=True)
    assert used.anonymous_id
    assert used.cookie_headers(200, json)


def test_the_applications_own_cache_control_stays(made: Made) -> None:
    tracker = made.tracker(PlainRequest(), set_visitor_cookie=True, cookie_domain="example.com")
    [(name, cookie)] = tracker.cookie_headers(200, {**HTML, "cache-control": "no-store"}.get)
    assert name.lower() == "set-cookie"
    assert "Domain=example.com" in cookie


def test_an_event_id_comes_back_from_whoever_accepts() -> None:
    tracker = Tracker(PlainRequest(), Config(api_key="dk_test"), lambda event: event.event_id)
    assert tracker.track("E", event_id="evt_1") == "evt_1"


# What is said after an event does not change it


def test_an_identify_changes_nothing_of_what_was_tracked_before(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id=PENDING))
    tracker.track("before")
    tracker.identify("said")
    tracker.track("after")
    assert made.events == []  # those after an event that waits wait too, and keep the order
    tracker.settle("found")
    told = [(event.event, event.user_id) for event in made.events]
    assert told == [("before", "found"), ("$identify", "said"), ("after", "said")]
    tracker.track("later")
    assert made.events[-1].user_id == "said"


def test_money_that_waits_stays_exact(made: Made) -> None:
    tracker = made.tracker(PlainRequest(cookie=COOKIE, user_id=PENDING))
    tracker.track_purchase(Decimal("12345678901234567.89"))
    tracker.settle()
    assert b"12345678901234567.89" in made.events[0].to_body()


def test_a_request_keeps_no_more_events_than_a_queue(made: Made) -> None:
    tracker = made.tracker(PlainRequest(user_id=PENDING), max_queue_size=100)
    for number in range(101):
        tracker.track(f"E{number}")
    assert [(name, str(reason)) for name, reason, _ in made.drops] == [("E0", "queue_overflow")]
    tracker.settle()
    assert [event.event for event in made.events] == [f"E{number}" for number in range(1, 101)]


def test_an_event_of_another_thread_is_released_by_whoever_comes_last(made: Made) -> None:
    tracker = made.tracker(PlainRequest(user_id=PENDING))
    tracker.track("first")

    class Settling(str):
        """Be a property that is read while the event is being put aside."""

        __slots__ = ()

        def __str__(self) -> str:
            return "x"

        @property
        def __class__(self) -> Any:
            tracker.settle("found")
            return str

    tracker.track("second", {"a": Settling("x")})
    assert [(event.event, event.user_id) for event in made.events] == [
        ("first", "found"),
        ("second", "found"),
    ]


@pytest.mark.parametrize("call", ["track", "identify", "alias", "group", "track_purchase"])
def test_a_call_with_nothing_at_all_raises_nothing(call: str, made: Made) -> None:
    assert getattr(made.tracker(), call)() is None
    [(_, reason, _)] = made.drops
    assert reason == "validation_error"


def test_a_header_is_decoded_as_the_cookie_is(made: Made) -> None:
    request = PlainRequest(headers={"x-anon": "anon%5F1"})
    assert made.tracker(request, anonymous_id_header="X-Anon").anonymous_id == "anon_1"


def test_a_path_keeps_what_only_a_url_has_to_lose(made: Made) -> None:
    made.tracker(PlainRequest(path="/C#-course/a@b.c"), request_context=["path"]).track("E")
    assert made.events[0].properties["path"] == "/C#-course/redacted"


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        ("__dl_visitor_id=anon_restored; Path=/", False),
        ("a=b; Expires=Wed, 01 Jan 2031 00:00:00 GMT, __dl_visitor_id=; Max-Age=0", False),
        ("a=__dl_visitor_id=x", True),
        ("not__dl_visitor_id=x", True),
    ],
)
def test_a_cookie_that_the_application_sets_itself_stays(
    sent: str, given: bool, made: Made
) -> None:
    tracker = made.tracker(PlainRequest(), set_visitor_cookie=True)
    assert bool(tracker.cookie_headers(200, {**HTML, "set-cookie": sent}.get)) is given
