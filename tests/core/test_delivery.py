"""The client over real sockets, while the ingest is well."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import weakref
from collections import UserDict
from collections.abc import Collection
from operator import attrgetter
from typing import Any

import httpx
import pytest

from datalyr_core import Datalyr, Event, Reply
from datalyr_core.outbox.memory import MemoryOutbox
from datalyr_core.testing import recording_client
from tests.conftest import MakeClient
from tests.support.engines import both_engines
from tests.support.ingest import OK, SILENCE, Answer, IngestServer, slow
from tests.support.waiting import eventually


def sender_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "datalyr-sender"]


def track(client: Datalyr, count: int) -> list[str]:
    names = [f"E{number}" for number in range(count)]
    for name in names:
        assert client.track("u", name)
    return names


# Starting


def test_making_a_client_starts_nothing(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client()
    assert client.flush()
    assert (sender_threads(), ingest.connections) == ([], 0)
    client.track("u", "E")
    assert len(sender_threads()) == 1


def test_a_disabled_client_takes_everything_and_does_nothing(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(enabled=False)
    assert client.track("u", "E", event_id="evt_1") == "evt_1"
    assert client.track("u", "") is None
    assert client.flush()
    assert client.close()
    client.track(event="after")
    assert (sender_threads(), ingest.requests) == ([], [])
    assert (caplog.records, client.stats.dropped) == ([], {})


# When


@both_engines
def test_flush_waits_until_all_is_delivered(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client(concurrency=1)
    names = track(client, 50)
    assert client.flush()
    assert ingest.names == names
    assert client.stats.delivered == 50


def test_events_go_out_by_themselves_when_enough_wait(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client(flush_at=5, flush_interval=3600)
    track(client, 4)
    assert not eventually(lambda: ingest.requests, 0.2)
    track(client, 1)
    assert eventually(lambda: len(ingest.accepted) == 5)


def test_events_go_out_by_themselves_when_time_has_passed(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client(flush_at=100, flush_interval=1)
    track(client, 1)
    assert eventually(lambda: client.stats.delivered == 1, 3)


def test_flush_during_an_automatic_pass_waits_for_what_is_in_flight(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.3)
    client = make_client(flush_at=1)
    track(client, 1)
    assert eventually(lambda: ingest.in_flight == 1)
    assert client.flush()
    assert ingest.names == ["E0"]


def test_flush_and_close_wake_a_thread_that_waits_for_more(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    for wait in (Datalyr.flush, Datalyr.close):
        client = make_client(flush_at=1000, flush_interval=3600)
        track(client, 3)
        assert not eventually(lambda: ingest.in_flight, 0.1)
        assert wait(client, timeout=20)
    assert len(ingest.accepted) == 6


def test_flush_includes_events_that_arrive_meanwhile(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.2)
    client = make_client(concurrency=1)
    track(client, 2)
    flushed: list[bool] = []
    thread = threading.Thread(target=lambda: flushed.append(client.flush()))
    thread.start()
    assert eventually(lambda: ingest.in_flight)
    client.track("u", "late")
    thread.join()
    assert flushed == [True]
    assert ingest.names == ["E0", "E1", "late"]


def test_flush_waits_no_longer_than_it_may(make_client: MakeClient, ingest: IngestServer) -> None:
    ingest.answer = slow(0.5)
    client = make_client()
    track(client, 1)
    assert not client.flush(timeout=0.05)
    assert client.stats.waiting == 1
    assert client.flush(timeout=5)


def test_hooks_were_called_when_flush_returns(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = Answer(400)
    dropped: list[Event] = []

    def take_a_while(events: list[Event], reason: str) -> None:
        threading.Event().wait(0.05)
        dropped.extend(events)

    client = make_client(on_drop=take_a_while)
    track(client, 5)
    assert not client.flush()
    assert len(dropped) == 5


# How many at a time


@both_engines
def test_a_slow_ingest_gets_up_to_concurrency_requests_at_once(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.1)
    client = make_client(concurrency=4)
    track(client, 24)
    assert client.flush()
    assert ingest.most_in_flight == 4
    assert ingest.connections == 4
    assert eventually(lambda: len(sender_threads()) == 1)  # the others were for the rush


def test_events_that_come_while_all_threads_are_busy_get_threads_of_their_own(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    client = make_client(flush_at=1, concurrency=10)
    track(client, 1)
    assert eventually(lambda: ingest.in_flight == 1)
    track(client, 9)
    assert eventually(lambda: ingest.in_flight == 10)
    client.close(timeout=0)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_never_more_than_concurrency_requests_at_once(
    concurrency: int, make_client: MakeClient
) -> None:
    most = Peak()
    client = make_client(transport=most, concurrency=concurrency, flush_at=1, max_queue_size=10_000)
    threads = [threading.Thread(target=track, args=(client, 50)) for _ in range(20)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush()
    finally:
        sys.setswitchinterval(interval)
    assert most.seen <= concurrency


class Peak:
    """Count how many sends are under way at most."""

    def __init__(self) -> None:
        self.now = self.seen = 0
        self._lock = threading.Lock()

    def send(self, body: bytes) -> Reply:
        with self._lock:
            self.now += 1
            self.seen = max(self.seen, self.now)
        threading.Event().wait(0.001)
        with self._lock:
            self.now -= 1
        return Reply(200)


def test_an_event_that_comes_while_a_pass_ends_is_noticed(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client(flush_at=1, flush_interval=3600, concurrency=1)
    dispatcher = client._sender._dispatcher
    end, late = dispatcher._end_pass, ["late"]

    def end_pass(now: float) -> None:
        if late:  # the pass has seen that nothing waits, and does not say yet that it is over
            client.track("u", late.pop())
        end(now)

    dispatcher._end_pass = end_pass  # type: ignore[method-assign]  # put in between
    client.track("u", "first")
    assert eventually(lambda: ingest.names == ["first", "late"])


class LateOutbox(MemoryOutbox):
    """An outbox that an event comes into when a thread has just looked for one."""

    def lease(self, *, patient: bool, unless: Collection[int] = ()) -> None:
        self.__class__ = MemoryOutbox  # type: ignore[assignment]  # once


def test_what_comes_just_when_a_thread_has_looked_is_not_slept_over(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client(flush_at=1, flush_interval=3600, concurrency=1)
    client._outbox.__class__ = LateOutbox
    client.track("u", "late")
    assert eventually(lambda: ingest.names == ["late"])


def test_a_quick_ingest_is_served_on_one_connection() -> None:
    def connections() -> int:
        with IngestServer() as quick, Datalyr("dk_test", host=quick.url) as client:
            track(client, 200)
            client.flush()
            return quick.connections

    # A busy machine can make the quickest ingest slow, but not time after time.
    assert 1 in (connections() for _ in range(40))


@both_engines
def test_connections_are_kept(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client(concurrency=1)
    for _ in range(3):
        track(client, 5)
        assert client.flush()
    assert ingest.connections == 1
    assert len(ingest.accepted) == 15


def test_track_and_flush_in_turns_never_hang(make_client: MakeClient, ingest: IngestServer) -> None:
    """Threads that come and go must not all go: somebody has to send the next event."""
    ingest.answer = slow(0.012)
    client = make_client(concurrency=8)
    for _ in range(60):
        track(client, 8)
        assert client.flush(timeout=10)
    assert client.stats.delivered == 480


def test_of_two_threads_that_could_both_end_one_stays(make_client: MakeClient) -> None:
    sender = make_client()._sender
    may_end: list[bool] = []
    threads = [
        threading.Thread(target=lambda: may_end.append(sender._superfluous())) for _ in range(2)
    ]
    sender._threads.update(threads)
    for thread in threads:  # each has asked, and none has ended yet
        thread.start()
        thread.join()
    assert may_end == [True, False]
    sender._threads.clear()


class Quick:
    """Take what it is given at once, and remember in which threads."""

    def __init__(self) -> None:
        self.threads: set[threading.Thread] = set()

    def send(self, body: bytes) -> Reply:
        self.threads.add(threading.current_thread())
        return Reply(200)


def test_where_all_is_quick_one_thread_sends_and_one_stands_by(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To start a thread in each pass costs more than to send what is in it."""
    quick = Quick()
    client = make_client(transport=quick, concurrency=10)
    # A moment without the interpreter is one without an answer, to whoever looks at the clock.
    monkeypatch.setattr(client._sender._dispatcher, "_slow", lambda now: False)
    seen: set[threading.Thread] = set()
    for _ in range(10):
        track(client, 40)
        seen.update(sender_threads())
        assert client.flush()
    assert len(seen) == 2
    assert len(quick.threads) == 1
    assert eventually(lambda: len(sender_threads()) == 1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_thread_that_stands_by_takes_the_place_of_one_that_is_made_to_end(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ending(Quick):
        def send(self, body: bytes) -> Reply:
            super().send(body)
            if len(sender_threads()) == 2 and len(self.threads) == 1:
                raise SystemExit  # as a server does that ends threads
            return Reply(200)

    ending = Ending()
    client = make_client(transport=ending, concurrency=2, flush_interval=3600)
    monkeypatch.setattr(client._sender._dispatcher, "_slow", lambda now: False)
    track(client, 40)
    assert eventually(lambda: len(ending.threads) == 2)
    assert client.flush(timeout=20)
    assert client.stats.delivered == 40


def test_while_a_hook_takes_its_time_events_go_on(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    go_on = threading.Event()
    ingest.script.append(Answer(400))
    client = make_client(on_drop=lambda events, reason: go_on.wait(30), concurrency=2)
    track(client, 50)
    assert eventually(lambda: client.stats.delivered == 49)
    go_on.set()
    client.flush(timeout=20)


# What the application sees and says


def test_before_send_changes_and_drops(make_client: MakeClient, ingest: IngestServer) -> None:
    def scrub(event: Event) -> Event | None:
        event.properties.pop("secret", None)
        return None if event.event == "noise" else event

    client = make_client(before_send=scrub)
    given = {"secret": 1, "a": 2}
    assert client.track("u", "E", given, anonymous_id="anon_1")
    assert client.track("u", "noise") is None
    client.flush()
    assert ingest.accepted[0]["properties"] == {"a": 2, "anonymous_id": "anon_1"}
    assert given == {"secret": 1, "a": 2}
    assert (ingest.names, client.stats.dropped) == (["E"], {"before_send": 1})


def test_a_before_send_that_raises_changes_nothing(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(before_send=lambda event: 1 / 0)
    assert client.track("u", "E")
    client.flush()
    assert ingest.names == ["E"]
    assert "before_send raised; the event is sent as it was" in caplog.text


def test_what_a_before_send_has_half_changed_is_not_sent(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    def spoil_and_raise(event: Event) -> Event:
        event.properties["items"].clear()
        spoil(event, event=None, properties=None, context=None)
        raise LookupError("on purpose")

    client = make_client(before_send=spoil_and_raise)
    given = {"items": [{"sku": 1}]}
    assert client.track("u", "E", given)
    client.flush()
    [body] = ingest.accepted
    assert (body["event"], body["properties"]["items"]) == ("E", [{"sku": 1}])
    assert body["context"]["source"] == "api"


def test_a_before_send_changes_nothing_of_the_applications(make_client: MakeClient) -> None:
    def strip(event: Event) -> Event:
        event.properties["user"].pop("email")
        event.properties["items"][0]["sku"] = 2
        return event

    given = {"user": {"email": "a@b.c"}, "items": [{"sku": 1}]}
    make_client(before_send=strip, enabled=True).track("u", "E", given)
    assert given == {"user": {"email": "a@b.c"}, "items": [{"sku": 1}]}


def test_a_before_send_sees_properties_without_an_end(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    endless: dict[str, Any] = {"a": 1}
    endless["self"] = endless
    client = make_client(before_send=lambda event: event)
    assert client.track("u", "E", endless)
    client.flush()
    assert ingest.accepted[0]["properties"]["a"] == 1


def test_a_before_send_that_tracks_sees_no_event_of_its_own(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    def before_send(event: Event) -> Event:
        client.track("u", "told")
        return event

    client = make_client(before_send=before_send, concurrency=1)
    client.track("u", "E")
    client.flush()
    assert ingest.names == ["told", "E"]


class Broken(UserDict[str, Any]):
    def keys(self) -> Any:
        raise LookupError("on purpose")


def test_an_event_that_before_send_made_impossible_to_encode_is_dropped(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(before_send=lambda event: spoil(event, properties=Broken()))
    assert client.track("u", "E") is None
    assert client.stats.dropped == {"validation_error": 1}
    assert "cannot be encoded (LookupError)" in caplog.text


def spoil(event: Event, /, **fields: Any) -> Event:
    for name, value in fields.items():
        setattr(event, name, value)
    return event


@pytest.mark.parametrize(
    "nonsense",
    [
        lambda event: "text",
        lambda event: {"event": "E"},
        lambda event: spoil(event, properties=None),
        lambda event: spoil(event, properties=[1]),
        lambda event: spoil(event, event=None),
        lambda event: spoil(event, event=""),
        lambda event: spoil(event, event_id=5),
        lambda event: spoil(event, anonymous_id=None),
        lambda event: spoil(event, user_id=5),
        lambda event: spoil(event, timestamp=0),
        lambda event: spoil(event, context=None),
    ],
)
def test_a_before_send_that_returns_nonsense_drops_the_event(
    nonsense: Any,
    make_client: MakeClient,
    ingest: IngestServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = make_client(before_send=nonsense)
    assert client.track("u", "E") is None
    assert client.track("u", "E") is None
    client.flush()
    assert ingest.requests == []
    assert client.stats.dropped == {"before_send": 2}
    assert caplog.text.count("before_send returned") == 1


def test_an_event_that_belongs_to_nobody_is_warned_about_once(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    for _ in range(3):
        client.track(event="E")
        client.track(event="E", anonymous_id="anon_1")
    assert caplog.text.count("it belongs to nobody") == 1


def test_a_call_without_what_it_needs_is_one_warning_and_a_counted_drop(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    dropped: list[tuple[str, str]] = []
    client = make_client(
        on_drop=lambda events, reason: dropped.append((events[0].event, str(reason)))
    )
    assert client.track("u", "") is None
    assert client.track("u", "") is None
    assert client.track_purchase("u", "much") is None
    assert len(caplog.records) == 2
    assert dropped == [("", "validation_error")] * 2 + [("purchase", "validation_error")]
    assert client.stats.dropped == {"validation_error": 3}
    assert client.stats.dropped["consent"] == 0
    assert client.stats.accepted == 0


@pytest.mark.parametrize("call", ["identify", "alias", "group", "track_purchase", "track"])
def test_a_call_with_nothing_at_all_raises_nothing(call: str, make_client: MakeClient) -> None:
    client = make_client()
    assert getattr(client, call)() is None
    assert client.stats.dropped == {"validation_error": 1}


def test_calls_that_need_no_user_need_none(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client(concurrency=1)
    assert client.group(group_id="g", anonymous_id="anon_1")
    assert client.track_purchase(value=1, anonymous_id="anon_1")
    client.flush()
    assert ingest.names == ["$group", "purchase"]
    assert ["userId" in body for body in ingest.accepted] == [False, False]


def test_on_drop_sees_what_is_known_of_an_event_that_was_not_made(make_client: MakeClient) -> None:
    dropped: list[Event] = []
    client = make_client(on_drop=lambda events, reason: dropped.extend(events))
    client.track("user_1", "", {"a": 1}, anonymous_id="anon_1")
    client.track(user_id=[], event="E", properties=5, anonymous_id={})  # type: ignore[arg-type]  # wrong on purpose
    first, second = dropped
    assert (first.event, first.user_id, first.anonymous_id) == ("", "user_1", "anon_1")
    assert first.properties == {"a": 1}
    assert (second.event, second.user_id, second.anonymous_id) == ("E", None, "")
    assert second.properties == {}


class Spiteful:
    def __bool__(self) -> bool:
        raise LookupError("on purpose")

    def __str__(self) -> str:
        return "anon_1"


def test_an_id_whose_truth_cannot_be_told_is_an_id(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client()
    assert client.track(event="E", anonymous_id=Spiteful())
    client.flush()
    assert ingest.accepted[0]["anonymousId"] == "anon_1"


def test_a_hook_that_tracks_while_the_queue_is_full_costs_one_event_each(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    told: list[str] = []

    def on_drop(events: list[Event], reason: str) -> None:
        told.extend(event.event for event in events)
        client.track("u", "told")

    ingest.answer = slow(0.5)
    client = make_client(on_drop=on_drop, max_queue_size=100, flush_interval=3600, flush_at=100)
    track(client, 99)
    client.track("u", "E99")  # the hundredth
    client.track("u", "E100")
    assert len(told) == 1
    assert client.stats.dropped["queue_overflow"] == 2
    assert client.flush()
    assert {"told", "E50", "E100"} <= set(ingest.names)


def test_an_event_that_finds_everything_in_flight_is_dropped_and_says_so(
    make_client: MakeClient,
) -> None:
    sending, go_on = threading.Semaphore(0), threading.Event()

    class Held:
        def send(self, body: bytes) -> Reply:
            sending.release()
            go_on.wait(10)
            return Reply(200)

    client = make_client(transport=Held(), concurrency=100, max_queue_size=100, flush_at=1)
    track(client, 100)
    assert all(sending.acquire(timeout=10) for _ in range(100))
    assert client.track("u", "newest") is None
    assert client.stats.dropped == {"queue_overflow": 1}
    go_on.set()
    assert client.flush()


def test_flush_and_close_may_wait_for_ever(make_client: MakeClient) -> None:
    client = make_client()
    track(client, 1)
    assert client.flush(float("inf"))
    track(client, 1)
    assert client.flush(1e10)
    track(client, 1)
    assert client.close(float("inf"))


def test_a_flood_of_bad_values_is_one_line_and_hides_nothing_else(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.answer = Answer(401)
    client = make_client()
    for number in range(150):
        client.track("u", number)  # type: ignore[arg-type]  # wrong on purpose
    assert len(caplog.records) == 1
    client.track("u", "E")
    client.close()
    client.track("u", "E")
    assert [each.levelname for each in caplog.records].count("ERROR") == 2  # refused, and closed


def test_hooks_that_raise_are_logged_and_otherwise_ignored(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.script.extend([Answer(400)])
    client = make_client(
        on_error=lambda event, error: 1 / 0, on_drop=lambda events, reason: 1 / 0, concurrency=1
    )
    track(client, 2)
    client.flush()
    assert ingest.names == ["E1"]
    assert "on_error raised" in caplog.text
    assert "on_drop raised" in caplog.text
    assert client.stats.dropped == {"permanent_client_error": 1}


def test_debug_logs_events_and_replies_but_never_the_key(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = make_client(debug=True, api_key="dk_hush")
    client.track("u", "E")
    client.flush()
    assert """tracked b'{"event":"E",""" in caplog.text
    assert "status=200" in caplog.text
    assert "hush" not in caplog.text
    assert ingest.requests[0].headers["x-api-key"] == "dk_hush"


def test_later_changes_by_the_caller_change_nothing(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client()
    given: dict[str, Any] = {"items": [1]}
    client.track("u", "E", given)
    given["items"].append(2)
    given["b"] = 1
    client.flush()
    assert ingest.accepted[0]["properties"].keys() == {"items", "anonymous_id"}
    assert ingest.accepted[0]["properties"]["items"] == [1]


def test_every_anonymous_id_is_fresh(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client()
    assert client.get_anonymous_id() != client.get_anonymous_id()
    track(client, 20)
    client.flush()
    assert len({body["anonymousId"] for body in ingest.accepted}) == 20


# Bounds and counts


def test_overflow_drops_the_oldest_waiting_and_counts_what_is_in_flight(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.5)
    dropped: list[str] = []
    client = make_client(
        max_queue_size=100,
        concurrency=1,
        flush_at=1,
        on_drop=lambda events, reason: dropped.extend(f"{reason} {e.event}" for e in events),
    )
    track(client, 1)
    assert eventually(lambda: ingest.in_flight == 1)
    for number in range(1, 103):
        client.track("u", f"E{number}")
    assert dropped == [f"queue_overflow E{number}" for number in (1, 2, 3)]
    assert client.stats.waiting == 100
    ingest.answer = OK
    assert client.flush()
    assert ingest.names == ["E0", *(f"E{number}" for number in range(4, 103))]


@both_engines
def test_nothing_is_unaccounted_for_under_load_from_many_threads(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = lambda request: Answer(400) if b"bad" in request.raw else OK
    client = make_client(max_queue_size=150, flush_at=5)

    def work(name: int) -> None:
        for number in range(150):
            client.track("u", f"{'bad' if number % 10 == 0 else 'good'} {name} {number}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert client.stats.waiting <= 150
    client.flush()
    stats = client.stats
    assert stats.accepted == 8 * 150
    assert stats.waiting == 0
    assert stats.accepted == stats.delivered + sum(stats.dropped.values())
    assert stats.delivered == len(ingest.accepted) == len(set(ingest.names))


# Other transports


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_ready_http_client_is_used_and_stays_open(
    library: str, make_client: MakeClient, ingest: IngestServer
) -> None:
    http = pytest.importorskip(library).Client(headers={"x-mine": "yes"}, trust_env=False)
    with http:
        client = make_client(http_client=http)
        track(client, 3)
        assert client.close()
        assert ingest.requests[0].headers["x-mine"] == "yes"
        assert ingest.requests[0].headers["x-api-key"] == "dk_test"
        assert len(ingest.accepted) == 3
        assert not http.is_closed


def test_a_client_on_a_mock_transport(make_client: MakeClient) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, text="fine")

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = make_client(http_client=http, host="https://ingest.example/track")
        track(client, 1)
        assert client.flush()
    assert str(seen[0].url) == "https://ingest.example/track"


def test_a_transport_of_the_applications_own_is_not_closed(make_client: MakeClient) -> None:
    class Mine:
        closed = False

        def send(self, body: bytes) -> Reply:
            return Reply(202)

        def close(self) -> None:
            self.closed = True

    transport = Mine()
    client = make_client(transport=transport)
    track(client, 1)
    assert client.close()
    assert (client.stats.delivered, transport.closed) == (1, False)


def test_the_recording_client_keeps_events_and_sends_nothing(ingest: IngestServer) -> None:
    with recording_client(host=ingest.url) as client:
        client.track("u", "E", {"a": 1})
        client.identify("u")
        assert [event.event for event in client.events] == ["E", "$identify"]
        assert client.events[0].properties["a"] == 1
    assert ingest.requests == []


# Clients that come and go


def test_a_client_that_is_forgotten_delivers_what_waits_and_its_thread_ends(
    ingest: IngestServer,
) -> None:
    client = Datalyr("dk_test", host=ingest.url, flush_interval=1)
    track(client, 3)
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None
    assert eventually(lambda: len(ingest.accepted) == 3)
    assert eventually(lambda: not sender_threads())
    recording_client().close()  # SIGTERM is given back by whoever closes last


@both_engines
def test_a_second_client_with_the_same_key_warns_once(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    key = f"dk_twin_{id(caplog)}"
    clients = [make_client(api_key=key) for _ in range(3)]
    assert len(clients) == 3
    assert caplog.text.count("another client with the same key") == 1
    assert key not in caplog.text


# Asynchronous


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    if request.param == "trio":
        pytest.importorskip("trio")
    return str(request.param)


@pytest.mark.anyio
async def test_aflush_and_aclose(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client()
    track(client, 3)
    assert await client.aflush()
    assert len(ingest.accepted) == 3
    track(client, 2)
    assert await client.aclose()
    assert len(ingest.accepted) == 5
    assert client.closed


@pytest.mark.anyio
async def test_the_event_loop_goes_on_while_a_client_closes(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    import anyio

    ingest.answer = slow(0.2)
    beats = 0
    async with make_client() as client:
        track(client, 1)

        async def beat() -> None:
            nonlocal beats
            while True:
                beats += 1
                await anyio.sleep(0.01)

        async with anyio.create_task_group() as group:
            group.start_soon(beat)
            assert await client.aflush(timeout=5)
            group.cancel_scope.cancel()
    assert beats > 3
    assert client.closed


def test_a_context_manager_closes(make_client: MakeClient, ingest: IngestServer) -> None:
    with make_client() as client:
        track(client, 1)
    assert client.closed
    assert ingest.names == ["E0"]


def test_an_interruption_while_the_thread_starts_leaves_no_thread_that_is_none(
    make_client: MakeClient, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal's handler may raise anywhere: Ctrl+C, a time limit of Celery's."""

    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    client = make_client()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.track("u", "first")
    client.track("u", "second")
    assert client.flush(timeout=20)
    assert ingest.names == ["first", "second"]


def test_a_thread_that_rests_is_told_once_until_it_looks(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To tell it costs a request more than all the rest, and it may take a while to wake up."""
    client = make_client(flush_at=1, flush_interval=3600)
    client.track("u", "First")
    assert client.flush()
    dispatcher = client._sender._dispatcher
    assert eventually(lambda: dispatcher.needs_waking)
    told: list[None] = []
    wake = dispatcher.wake
    monkeypatch.setattr(dispatcher, "wake", lambda: (told.append(None), wake()))
    with dispatcher._cond:  # so that it cannot look
        for number in range(20):
            client.track("u", f"E{number}")
        assert len(told) == 1
    assert eventually(lambda: client.stats.delivered == 21)


class Interrupted(Exception):
    """What a signal's handler raises, as a server's and a job queue's do."""


def test_a_handler_that_raises_in_a_wake_up_leaves_the_next_one_to_others(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(flush_at=1, flush_interval=3600)
    client.track("u", "First")
    assert client.flush()
    dispatcher = client._sender._dispatcher
    assert eventually(lambda: dispatcher.needs_waking)

    def interrupted() -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(dispatcher._cond, "notify_all", interrupted)
        with pytest.raises(Interrupted):
            client.track("u", "Second")
    client.track("u", "Third")
    assert eventually(lambda: client.stats.delivered == 3)


def test_an_event_of_a_finalizer_in_the_thread_that_is_about_to_rest_is_noticed(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client(flush_at=1, flush_interval=3600)
    client.track("u", "First")
    assert client.flush()
    dispatcher = client._sender._dispatcher
    assert eventually(lambda: dispatcher.needs_waking)
    pause = dispatcher._pause
    left = ["Second of the thread's own"]

    def pausing(now: float, deadline: float | None) -> float | None:
        found = pause(now, deadline)
        if left and dispatcher._resting:  # it has looked for the last time
            client.track("u", left.pop())
        return found

    monkeypatch.setattr(dispatcher, "_pause", pausing)
    client.track("u", "Second")
    assert eventually(lambda: not left)
    assert eventually(lambda: client.stats.delivered == 3)
    client.track("u", "Third")
    assert eventually(lambda: client.stats.delivered == 4)


@pytest.mark.parametrize("end", ["flush", "close", "nothing"])
def test_what_made_room_within_a_lock_is_told_of_in_the_end(
    end: str, make_client: MakeClient, ingest: IngestServer
) -> None:
    """A signal's handler tracks in the middle of something of this very thread's."""
    drops: list[str] = []
    client = make_client(
        max_queue_size=100,
        flush_interval=3600 if end != "nothing" else 1,
        flush_at=100,
        on_drop=lambda events, reason: drops.extend(f"{each.event} {reason}" for each in events),
    )
    for number in range(99):
        client.track("u", f"E{number}")
    with client._outbox._lock:  # type: ignore[attr-defined]  # of this outbox
        client.track("u", "E99")
        client.track("u", "E100")
    assert drops == []
    if end == "flush":
        assert not client.flush()
    elif end == "close":
        assert not client.close()
    assert eventually(lambda: drops == ["E0 queue_overflow"])
    assert client.stats.dropped == {"queue_overflow": 1}


@pytest.mark.parametrize(
    "lock", ["_outbox._lock", "_sender._starting", "_sender._dispatcher._lock"]
)
def test_nothing_waits_within_a_lock_of_this_very_thread(
    lock: str, make_client: MakeClient, ingest: IngestServer
) -> None:
    """Others may hold theirs while they wait for it; so does a signal's handler that flushes."""
    client = make_client(flush_interval=3600)
    client.track("u", "E")
    with attrgetter(lock)(client):
        assert not client.flush()
        assert not client.drain()
    assert client.flush()
