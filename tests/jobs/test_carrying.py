"""What travels with a job, and what a job makes of whatever came."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datalyr_core import Config, Tracker, current_tracker
from datalyr_core.jobs.carrying import Carried, JobRequest, packed, unpacked
from datalyr_core.jobs.running import running
from datalyr_core.testing import recording_client
from datalyr_core.web_request import PENDING
from tests.support.web import PlainRequest

VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F))
WHOLE = {"allowed": True, "anonymous_id": "anon_ada", "user_id": "7"}


def tracker_of(**request: Any) -> Tracker:
    asked = PlainRequest(**{"cookie": "__dl_visitor_id=anon_ada", **request})
    return Tracker(asked, Config(enabled=False), lambda event: event.event_id)


def test_visitor_user_and_consent_travel() -> None:
    assert packed(tracker_of(user_id=7)) == WHOLE


def test_what_travels_is_json_whatever_the_id_is() -> None:
    class Key:
        def __str__(self) -> str:
            return "key-1"

    told = packed(tracker_of(user_id=Key()))
    assert json.loads(json.dumps(told)) == told
    assert told["user_id"] == "key-1"


@pytest.mark.parametrize(
    "no", [{"cookie": "__dl_visitor_id=anon_ada; __dl_opt_out=true"}, {"headers": {"sec-gpc": "1"}}]
)
def test_of_who_may_not_be_tracked_no_id_travels_and_no_user_is_looked_up(no: Any) -> None:
    request = PlainRequest(user_id=7, **no)
    told = packed(Tracker(request, Config(enabled=False), lambda event: event.event_id))
    assert told == {"allowed": False}
    assert not request.asked["user_id"]


def test_a_user_who_is_not_known_yet_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "datalyr"):
        for _ in range(2):
            assert packed(tracker_of(user_id=PENDING)) == {**WHOLE, "user_id": None}
    (record,) = caplog.records
    assert "request.auser()" in record.getMessage()


@settings(max_examples=50, deadline=None)  # a busy machine has moments of its own
@given(st.text(VISIBLE, min_size=1, max_size=256), st.none() | st.text(min_size=1))
def test_whoever_it_is_comes_back_out(anonymous_id: str, user_id: str | None) -> None:
    told = {"allowed": True, "anonymous_id": anonymous_id, "user_id": user_id}
    with recording_client() as client, running(told, client):
        tracker = current_tracker()
        assert tracker is not None
        assert (tracker.anonymous_id, tracker.user_id) == (anonymous_id, user_id)
        assert packed(tracker) == told


@pytest.mark.parametrize(
    "told",
    [None, "anon_ada", b"", 5, [], {}, {"anonymous_id": "anon_ada"}, {**WHOLE, "allowed": "yes"}],
)
def test_what_does_not_tell_consent_is_nobody(told: object) -> None:
    assert unpacked(told) is None


@pytest.mark.parametrize("sent", ["", " ", "a b", "é", "a\nb", "x" * 257, 5, None, ["a"], {}])
def test_an_id_that_is_none_is_replaced_by_one_fresh_id(sent: object) -> None:
    with recording_client() as client:
        with running({**WHOLE, "anonymous_id": sent}, client):
            tracker = current_tracker()
            assert tracker is not None
            tracker.track("One")
            tracker.track("Two")
        one, two = client.events
    assert one.anonymous_id == two.anonymous_id
    assert one.anonymous_id.startswith("anon_")
    assert one.user_id == "7"


@pytest.mark.parametrize("sent", ["", 5, True, ["7"], {"id": "7"}])
def test_a_user_id_that_is_no_string_is_nobodys(sent: object) -> None:
    assert unpacked({**WHOLE, "user_id": sent}) == Carried(True, "anon_ada", None)


@pytest.mark.parametrize("respect", [True, False])
def test_a_visitor_who_opted_out_stays_so_whatever_the_worker_respects(respect: bool) -> None:
    with recording_client(respect_opt_out=respect) as client:
        with running({"allowed": False, "anonymous_id": "anon_ada"}, client):
            tracker = current_tracker()
            assert tracker is not None
            assert not tracker.allowed
            assert tracker.anonymous_id is None
            assert tracker.track("Bought") is None
        assert client.stats.dropped["consent"] == 1
        assert not client.events


def test_the_applications_own_question_is_not_asked_again() -> None:
    def question(request: Any) -> str:
        raise AssertionError("there is no request to ask")

    with recording_client(user_id=question) as client, running(WHOLE, client):
        tracker = current_tracker()
        assert tracker is not None
        assert tracker.user_id == "7"


def test_nothing_else_of_the_request_is_told() -> None:
    facts = ("url", "path", "referrer", "user_agent", "ip")
    with recording_client(request_context=facts, cookie_name="mine") as client:
        with running(WHOLE, client):
            tracker = current_tracker()
            assert tracker is not None
            tracker.track("Bought")
            tracker.page("Receipt")
        bought, page = client.events
    assert bought.anonymous_id == page.anonymous_id == "anon_ada"
    assert set(bought.properties) == {"anonymous_id"}
    assert set(page.properties) == {"anonymous_id", "name", "url"}  # the name stands in for it


def test_a_request_that_has_gone_has_nothing_to_hand_out() -> None:
    request = JobRequest()
    answers = [request.native, request.header("cookie"), request.user_id(), request.ask(repr)]
    assert answers == [None] * 4
    assert request.query() == ""
    assert not request.secure()


def test_jobs_say_nothing_of_the_clients_options_again(caplog: pytest.LogCaptureFixture) -> None:
    with recording_client(api_key="key", host="http://ingest.example/track") as client:
        caplog.clear()
        for allowed in (True, False):
            with running({**WHOLE, "allowed": allowed}, client):
                tracker = current_tracker()
                assert tracker is not None
                assert tracker.allowed is allowed
    assert not caplog.records
