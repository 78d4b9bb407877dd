"""Events that wait until something is certain, without a framework and without a database."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from datalyr_core import Config, DropReason, Event, Tracker
from datalyr_core.deferred import DeferredTracker
from datalyr_core.verbs import Verbs
from datalyr_core.web_request import PENDING
from tests.support.web import PlainRequest

VERBS = [name for name, verb in inspect.getmembers(Verbs) if not name.startswith("_")]


class Transaction:
    """Keep what waits for its end."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.is_open = True

    def find(self) -> Any:
        return self.waiting.append if self.is_open else None

    def commit(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()


class Deferred:
    """A tracker, one that defers for it, and what becomes of their events."""

    def __init__(self, request: PlainRequest | None = None, **options: Any) -> None:
        self.events: list[Event] = []
        self.drops: list[tuple[str, DropReason]] = []
        self.transaction = Transaction()
        self.tracker = Tracker(
            request or PlainRequest(cookie="__dl_visitor_id=anon_1", user_id=None),
            Config(api_key="dk_test", **options),
            self._accept,
            lambda event, reason, why: self.drops.append((event.event, reason)),
        )
        self.later = DeferredTracker(self.tracker, self.transaction.find)

    def _accept(self, event: Event) -> str:
        self.events.append(event)
        return event.event_id

    @property
    def told(self) -> list[tuple[str, str | None]]:
        return [(event.event, event.user_id) for event in self.events]


@pytest.fixture
def deferred() -> Deferred:
    return Deferred()


def test_it_has_the_verbs_of_a_tracker() -> None:
    assert VERBS == ["alias", "group", "identify", "page", "track", "track_purchase"]
    for name in VERBS:
        assert getattr(Tracker, name) is getattr(DeferredTracker, name) is getattr(Verbs, name)


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "alias": ("u2",),
    "group": ("g1", {"size": 2}),
    "identify": ("u1", {"plan": "pro"}),
    "page": ("Home", {"a": 1}),
    "track": ("Bought", {"a": 1}),
    "track_purchase": (9.5, "eur", {"a": 1}),
}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_waits_and_then_says_what_it_would_have_said(verb: str) -> None:
    deferred = Deferred(PlainRequest(cookie="__dl_visitor_id=anon_1", user_id="u", path="/p"))
    event_id = getattr(deferred.later, verb)(*ARGUMENTS[verb])
    assert deferred.events == []
    deferred.transaction.commit()
    (waited,) = deferred.events
    assert waited.event_id == event_id
    getattr(deferred.tracker, verb)(*ARGUMENTS[verb])
    direct = deferred.events[1]
    for name in ("event", "user_id", "anonymous_id", "properties", "context"):
        assert getattr(waited, name) == getattr(direct, name)


@pytest.mark.parametrize("verb", VERBS)
def test_what_never_becomes_certain_is_never_sent(deferred: Deferred, verb: str) -> None:
    assert getattr(deferred.later, verb)(*ARGUMENTS[verb])
    deferred.transaction.waiting.clear()
    deferred.transaction.commit()
    assert (deferred.events, deferred.drops) == ([], [])
    assert deferred.tracker.user_id is None


@pytest.mark.parametrize("verb", VERBS)
def test_where_there_is_nothing_to_wait_for_it_is_the_tracker_itself(
    deferred: Deferred, verb: str
) -> None:
    deferred.transaction.is_open = False
    assert getattr(deferred.later, verb)(*ARGUMENTS[verb]) == deferred.events[0].event_id


def test_the_event_is_that_of_the_call(deferred: Deferred) -> None:
    properties = {"n": 1, "deep": [1]}
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    deferred.later.track("Bought", properties, event_id="e-1")
    after = datetime.now(UTC)
    properties["n"] = 2
    properties["deep"].append(2)
    deferred.transaction.commit()
    (event,) = deferred.events
    assert (event.event_id, event.properties) == ("e-1", {"n": 1, "deep": [1]})
    assert before <= datetime.fromisoformat(event.timestamp) <= after


def test_the_time_that_was_given_stays(deferred: Deferred) -> None:
    deferred.later.track("Bought", timestamp="2026-07-01T12:34:56Z")
    deferred.transaction.commit()
    assert deferred.events[0].timestamp == "2026-07-01T12:34:56.000Z"


def test_money_stays_exact(deferred: Deferred) -> None:
    deferred.later.track_purchase(Decimal("12345678901234567.89"))
    deferred.transaction.commit()
    assert b"12345678901234567.89" in deferred.events[0].to_body()


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("track", ("",)), ("identify", ()), ("track_purchase", ("9",)), ("group", ()), ("alias", ())],
)
def test_what_makes_no_event_is_refused_at_the_call(
    deferred: Deferred, verb: str, arguments: Any
) -> None:
    assert getattr(deferred.later, verb)(*arguments) is None
    assert [reason for _, reason in deferred.drops] == [DropReason.VALIDATION_ERROR]
    assert deferred.transaction.waiting == []


def test_a_visitor_who_is_not_tracked_is_refused_at_the_call() -> None:
    deferred = Deferred(PlainRequest(cookie="__dl_opt_out=true"))
    assert deferred.later.track("Bought") is None
    assert deferred.drops == [("Bought", DropReason.CONSENT)]
    assert deferred.transaction.waiting == []


# Who


def test_the_user_is_the_one_at_the_call(deferred: Deferred) -> None:
    deferred.tracker.user_id = "at the call"
    deferred.later.track("Bought")
    deferred.tracker.user_id = "later"
    deferred.transaction.commit()
    assert deferred.told == [("Bought", "at the call")]


def test_a_user_who_is_identified_is_that_of_what_waits_too(deferred: Deferred) -> None:
    deferred.later.track("Before")
    deferred.later.identify("u1")
    deferred.later.track("After")
    deferred.tracker.track("Not certain yet")
    deferred.transaction.commit()
    deferred.tracker.track("Certain")
    assert deferred.told == [
        ("Not certain yet", None),
        ("Before", None),
        ("$identify", "u1"),
        ("After", "u1"),
        ("Certain", "u1"),
    ]


def test_a_user_who_was_rolled_back_is_nobodys(deferred: Deferred) -> None:
    deferred.later.identify("u1")
    deferred.later.identify("u2")
    del deferred.transaction.waiting[2:]  # the second one, as by a savepoint
    deferred.later.track("After")
    deferred.transaction.commit()
    assert deferred.told == [("$identify", "u1"), ("After", "u1")]
    deferred.later.identify("u3")
    deferred.transaction.waiting.clear()
    deferred.later.track("Last")
    deferred.transaction.commit()
    assert deferred.told[2:] == [("Last", "u1")]


def test_who_is_named_after_a_claim_counts_more(deferred: Deferred) -> None:
    deferred.later.identify("u1")
    deferred.tracker.user_id = "u2"
    deferred.later.track("After")
    deferred.transaction.commit()
    deferred.tracker.track("Certain")
    assert deferred.told == [("$identify", "u1"), ("After", "u2"), ("Certain", "u2")]


def test_an_event_that_lacks_its_user_waits_for_the_request_too() -> None:
    deferred = Deferred(PlainRequest(cookie="__dl_visitor_id=anon_1", user_id=PENDING))
    event_id = deferred.later.track("Bought")
    deferred.transaction.commit()
    assert deferred.events == []
    deferred.tracker.settle("u1")
    assert deferred.told == [("Bought", "u1")]
    assert deferred.events[0].event_id == event_id


def test_a_commit_after_the_request_has_the_user_whom_the_request_has_found() -> None:
    deferred = Deferred(PlainRequest(cookie="__dl_visitor_id=anon_1", user_id=PENDING))
    deferred.later.track("Bought")
    deferred.tracker.track("Direct")
    deferred.tracker.settle("u1")
    deferred.transaction.commit()
    assert deferred.told == [("Direct", "u1"), ("Bought", "u1")]


def test_an_event_that_comes_too_late_for_its_user_is_warned_about_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datalyr_core.warn_once._given", set())
    caplog.set_level(logging.WARNING)
    deferred = Deferred(PlainRequest(cookie="__dl_visitor_id=anon_1", user_id=PENDING))
    deferred.later.track("Bought")
    deferred.tracker.settle(None)
    deferred.transaction.commit()
    deferred.tracker.track("Later")
    assert deferred.told == [("Bought", None), ("Later", None)]
    (record,) = caplog.records
    assert "set request.datalyr.user_id" in record.getMessage()


def test_the_verbs_alone_do_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Verbs().track("Bought")
