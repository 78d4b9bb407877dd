"""Recorded events: what is in the list, and that clients are afterwards as they were before."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from datalyr_core import Datalyr, DropReason, Event, Reply, Tracker
from datalyr_core.testing import RecordedEvents, recorded_events, recording_client
from tests.conftest import MakeClient
from tests.support.ingest import IngestServer
from tests.support.web import PlainRequest


def names(events: list[Event]) -> list[str]:
    return [event.event for event in events]


def test_clients_that_exist_and_clients_that_are_made_record_and_nothing_is_sent(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    before = make_client(flush_at=1)
    with recorded_events() as events:
        assert events == []
        assert before.track("u", "First") == events[0].event_id  # there at once
        with Datalyr("dk_other", host=ingest.url) as made:
            made.identify("u", {"plan": "pro"})
            assert before.flush()
            assert before.stats.accepted == made.stats.accepted == 0
    assert names(events) == ["First", "$identify"]
    assert ingest.connections == 0


def test_clients_send_again_afterwards(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client()
    with recorded_events() as events:
        client.track("u", "Recorded")
    client.track("u", "Sent")
    assert client.flush()
    assert names(events) == ["Recorded"]
    assert ingest.names == ["Sent"]
    assert client.stats.delivered == 1


def test_clients_send_again_after_a_block_that_raised(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client()
    with pytest.raises(ZeroDivisionError), recorded_events():
        raise ZeroDivisionError
    client.track("u", "Sent")
    assert client.flush()
    assert ingest.names == ["Sent"]


def test_a_client_that_is_switched_off_records_too() -> None:
    client = Datalyr(enabled=False)
    with recorded_events() as events:
        client.track("u", "E")
        client.track("u", "")
    assert names(events) == ["E"]
    assert [event.user_id for event, _, _ in events.dropped] == ["u"]
    assert client.track("u", "Later") is not None
    assert client.stats.dropped[DropReason.VALIDATION_ERROR] == 0


def test_a_client_that_is_off_sends_nothing_when_a_recording_ends_in_the_middle() -> None:
    sent: list[bytes] = []
    recorded = recorded_events()

    class Sending:
        def send(self, body: bytes) -> Reply:
            sent.append(body)
            return Reply(200)

    def end(event: Event) -> Event:
        recorded.__exit__(None, None, None)
        return event

    client = Datalyr(enabled=False, transport=Sending(), before_send=end)
    recorded.__enter__()
    assert client.track("u", "E")
    assert client.flush(timeout=20)
    assert (sent, client.stats.accepted) == ([], 0)


def test_a_transport_of_the_applications_own_gets_nothing() -> None:
    class Mine:
        def send(self, body: bytes) -> Reply:
            raise AssertionError("it was sent")

    with recorded_events() as events, Datalyr("dk_test", transport=Mine()) as client:
        client.track("u", "E")
        assert client.flush()
    assert names(events) == ["E"]


def test_events_are_as_the_ingest_would_get_them(make_client: MakeClient) -> None:
    client = make_client()
    properties = {"sizes": {1}, "shop": "a"}
    with recorded_events() as events:
        client.track(7, "E", properties, anonymous_id="anon_1", timestamp=0)
        properties["shop"] = "b"  # a later change to the caller's dict changes nothing
    [event] = events
    assert (event.user_id, event.anonymous_id) == ("7", "anon_1")
    assert event.timestamp == "1970-01-01T00:00:00.000Z"
    assert event.properties == {"sizes": [1], "shop": "a", "anonymous_id": "anon_1"}


def test_before_send_has_its_say(make_client: MakeClient) -> None:
    def before_send(event: Event) -> Event | None:
        event.properties["seen"] = True
        return None if event.event == "Secret" else event

    client = make_client(before_send=before_send)
    with recorded_events() as events:
        assert client.track("u", "Secret") is None
        client.track("u", "E")
    assert [(event.event, event.properties["seen"]) for event in events] == [("E", True)]
    [(event, reason, why)] = events.dropped
    assert (event.event, reason) == ("Secret", DropReason.BEFORE_SEND)
    assert why == "before_send returned None"


def test_what_is_dropped_is_told_and_counted(make_client: MakeClient) -> None:
    client = make_client()
    request = PlainRequest(cookie="__dl_opt_out=true")
    with recorded_events() as events:
        client.tracker(request).track("Unwanted")
        client.track("u", "")
        client.close()
        client.track("u", "Late")
    assert events == []
    told = [(event.event, reason) for event, reason, _ in events.dropped]
    assert told == [
        ("Unwanted", DropReason.CONSENT),
        ("", DropReason.VALIDATION_ERROR),
        ("Late", DropReason.CLOSED),
    ]
    assert sum(client.stats.dropped.values()) == 3


def test_a_tracker_that_was_made_before_records(make_client: MakeClient) -> None:
    tracker: Tracker = make_client().tracker(PlainRequest(cookie="__dl_visitor_id=anon_1"))
    with recorded_events() as events:
        tracker.track("E")
    assert [event.anonymous_id for event in events] == ["anon_1"]


def test_threads_record(make_client: MakeClient) -> None:
    client = make_client()
    with recorded_events() as events:
        threads = [
            threading.Thread(target=lambda: [client.track("u", "E") for _ in range(50)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(events) == 400
    assert len({event.event_id for event in events}) == 400


def test_recordings_within_recordings_have_what_is_tracked_in_both(make_client: MakeClient) -> None:
    client = make_client()
    with recorded_events() as outer:
        client.track("u", "1")
        with recorded_events() as inner:
            client.track("u", "2")
        client.track("u", "3")
    assert names(outer) == ["1", "2", "3"]
    assert names(inner) == ["2"]


def test_a_recording_that_ends_before_one_that_began_later(make_client: MakeClient) -> None:
    client = make_client()
    first, second = recorded_events(), recorded_events()
    one, two = first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    client.track("u", "E")
    second.__exit__(None, None, None)
    assert (names(one), names(two)) == ([], ["E"])


def test_a_recording_client_keeps_its_events_as_well() -> None:
    with recorded_events() as events, recording_client() as client:
        client.track("u", "E")
        assert names(client.events) == ["E"]
        assert isinstance(client.events, RecordedEvents)
    assert names(events) == ["E"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_sends_nothing_either(scripts: Any, ingest: IngestServer) -> None:
    ended = scripts.run(
        """
        import os
        from datalyr_core import Datalyr
        from datalyr_core.testing import recorded_events

        client = Datalyr.from_env()
        with recorded_events() as events:
            if (child := os.fork()) == 0:
                client.track("u", "E")
                raise SystemExit(3 if len(events) == 1 else 4)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(events))
        """
    )
    assert (ended.out, ended.code) == ("3 0\n", 0), ended.err
    assert ingest.connections == 0
