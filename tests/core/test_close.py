from __future__ import annotations

import gc
import logging
import threading
import time
import weakref
from typing import Any

import pytest

from datalyr_core import Datalyr, Event, Reply, lifecycle
from tests.conftest import MakeClient
from tests.support.engines import both_engines
from tests.support.ingest import DOWN, OK, SILENCE, Answer, IngestServer, slow
from tests.support.waiting import eventually


def track(client: Datalyr, count: int) -> None:
    for number in range(count):
        client.track("u", f"E{number}")


class Drops:
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def __call__(self, events: list[Event], reason: str) -> None:
        self.seen.extend((event.event, str(reason)) for event in events)


@pytest.fixture
def drops() -> Drops:
    return Drops()


def test_close_delivers_what_waits(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client(concurrency=1)
    track(client, 30)
    assert client.close()
    assert ingest.names == [f"E{number}" for number in range(30)]
    assert client.closed
    assert eventually(
        lambda: not [each for each in threading.enumerate() if each.name == "datalyr-sender"]
    )


def test_close_waits_for_what_an_automatic_pass_has_in_flight(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.3)
    client = make_client(flush_at=1)
    track(client, 1)
    assert eventually(lambda: ingest.in_flight == 1)
    assert client.close()
    assert ingest.names == ["E0"]


def test_close_tries_again_until_the_ingest_is_back(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.script.extend([DOWN] * 2)
    client = make_client(retry_limit=0)
    track(client, 2)
    assert client.close()
    assert sorted(ingest.names) == ["E0", "E1"]


def test_close_is_idempotent(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client()
    track(client, 1)
    assert client.close()
    assert client.close()
    assert client.flush()
    assert len(ingest.requests) == 1


@pytest.mark.parametrize("answer", [DOWN, SILENCE], ids=["failing", "hanging"])
@both_engines
def test_close_never_overshoots_and_hands_over_what_is_left(
    answer: Answer,
    make_client: MakeClient,
    ingest: IngestServer,
    drops: Drops,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ingest.answer = answer
    client = make_client(on_drop=drops, timeout=60)
    track(client, 30)
    begun = time.monotonic()
    assert not client.close(timeout=0.5)
    assert time.monotonic() - begun < 0.8
    assert drops.seen == [(f"E{number}", "close_timeout") for number in range(30)]
    assert "close() came to its time-out; 30 are lost" in caplog.text
    assert client.stats.waiting == 0
    ingest.stop()  # so that the thread that waits for its answer ends


def test_close_takes_its_time_out_from_the_options(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = DOWN
    client = make_client(close_timeout=1)
    track(client, 1)
    begun = time.monotonic()
    assert not client.close()
    assert 0.9 < time.monotonic() - begun < 1.4


def test_closing_again_says_again_what_became_of_it(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    client = make_client()
    track(client, 1)
    assert client.close(timeout=0.1) is False
    assert client.close() is False


def test_callers_at_the_same_time_share_one_end(
    make_client: MakeClient, ingest: IngestServer, drops: Drops
) -> None:
    ingest.answer = slow(0.05)
    client = make_client(on_drop=drops, concurrency=2)
    track(client, 20)
    ended: list[bool] = []
    threads = [threading.Thread(target=lambda: ended.append(client.close())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [True] * 8
    assert len(ingest.requests) == len(ingest.accepted) == 20
    assert drops.seen == []


def test_callers_at_the_same_time_report_what_is_left_once(
    make_client: MakeClient, ingest: IngestServer, drops: Drops
) -> None:
    ingest.answer = DOWN
    client = make_client(on_drop=drops)
    track(client, 5)
    threads = [threading.Thread(target=client.close, args=(0.3,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(drops.seen) == [(f"E{number}", "close_timeout") for number in range(5)]


def test_tracking_afterwards_is_one_loud_error(
    make_client: MakeClient, ingest: IngestServer, drops: Drops, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(on_drop=drops)
    client.close()
    track(client, 3)
    assert client.identify("u") is None
    [record] = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.levelno == logging.ERROR
    assert "the client is closed" in record.getMessage()
    assert drops.seen == [*((f"E{n}", "closed") for n in range(3)), ("$identify", "closed")]
    assert client.stats.dropped == {"closed": 4}
    assert ingest.requests == []


@pytest.mark.parametrize("attempt", range(3))
def test_nothing_is_unaccounted_for_when_close_races_with_tracking(
    attempt: int, make_client: MakeClient, ingest: IngestServer, drops: Drops
) -> None:
    client = make_client(on_drop=drops, flush_at=1)
    calls = [0] * 8
    stop = threading.Event()

    def work(name: int) -> None:
        while not stop.wait(0.001):
            calls[name] += 1
            client.track("u", f"{name}-{calls[name]}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(ingest.accepted) > 5 * attempt)
    client.close()
    stop.set()
    for thread in threads:
        thread.join()
    stats = client.stats
    assert stats.waiting == 0
    assert sum(calls) == stats.delivered + sum(stats.dropped.values())
    assert len(drops.seen) == sum(stats.dropped.values())
    assert stats.delivered == len(ingest.accepted)
    told = [*ingest.names, *(name for name, _ in drops.seen)]
    assert len(told) == len(set(told)) == sum(calls)


@pytest.mark.parametrize("what", ["close", "flush", "track", "stats"])
def test_a_hook_may_use_the_client(
    what: str, make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.script.append(Answer(400))
    done: list[Any] = []

    def on_drop(events: list[Event], reason: str) -> None:
        if not done:
            done.append(reason)
            call = {
                "track": lambda: client.track("u", "from the hook"),
                "stats": lambda: client.stats,
            }
            call.get(what, getattr(client, what, None))()

    client = make_client(on_drop=on_drop, concurrency=1)
    track(client, 3)
    client.flush(timeout=5)
    assert client.close(timeout=5)
    expected = ["E1", "E2", *(["from the hook"] if what == "track" else [])]
    assert ingest.names == expected
    assert done == ["permanent_client_error"]


def test_a_hook_may_wait_for_a_transport_of_the_applications_own(make_client: MakeClient) -> None:
    class Picky:
        def send(self, body: bytes) -> Reply:
            return Reply(400 if b"E0" in body else 200)

    flushed: list[bool] = []
    client = make_client(
        transport=Picky(),
        concurrency=1,
        on_drop=lambda events, reason: flushed.append(client.flush(timeout=5)),
    )
    track(client, 3)
    client.flush(timeout=5)
    assert flushed == [True]
    assert client.stats.delivered == 2


def test_an_event_that_slips_in_while_the_client_closes_is_dropped_as_closed(
    make_client: MakeClient, ingest: IngestServer, drops: Drops
) -> None:
    def late(event: Event) -> Event:
        client.close()
        return event

    client = make_client(before_send=late, on_drop=drops)
    assert client.track("u", "E") is None
    assert drops.seen == [("E", "closed")]
    assert (client.stats.waiting, ingest.requests) == (0, [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_hook_that_ends_its_thread_harms_nobody_else(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.script.append(Answer(400))

    def leave(events: list[Event], reason: str) -> None:
        raise SystemExit

    client = make_client(on_drop=leave, concurrency=1)
    track(client, 3)
    client.flush(timeout=1)
    track(client, 1)
    assert client.flush(timeout=5)
    assert client.stats.delivered == 3


def test_close_from_another_thread_while_flush_waits(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = DOWN
    client = make_client(retry_limit=10)
    track(client, 3)
    flushed: list[bool] = []
    thread = threading.Thread(target=lambda: flushed.append(client.flush()))
    thread.start()
    assert eventually(lambda: ingest.requests)
    client.close(timeout=0.1)
    thread.join(5)
    assert flushed == [False]


def test_closing_without_an_event_connects_to_nothing(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    assert make_client().close()
    assert ingest.connections == 0


def test_a_closed_client_accepts_no_events_of_a_tracker(make_client: MakeClient) -> None:
    from tests.support.web import PlainRequest

    client = make_client()
    tracker = client.tracker(PlainRequest(cookie="__dl_visitor_id=anon_1"))
    client.close()
    assert tracker.track("E") is None
    assert client.stats.dropped == {"closed": 1}


def test_the_ingest_comes_back_for_a_later_client(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = DOWN
    first = make_client()
    track(first, 1)
    first.close(timeout=0.1)
    ingest.answer = OK
    second = make_client()
    track(second, 1)
    assert second.close()
    assert len(ingest.accepted) == 1


@both_engines
def test_a_client_that_is_opened_again_is_as_new(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client(concurrency=1)
    client.reopen()  # it is open
    track(client, 1)
    client.close()
    client.reopen()
    assert (client.closed, client.stats.accepted) == (False, 0)
    track(client, 2)
    assert client.flush()
    assert client.stats.delivered == 2
    assert ingest.names == ["E0", "E0", "E1"]


def test_a_disabled_client_that_is_opened_again_stays_disabled(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client(enabled=False)
    client.close()
    client.reopen()
    track(client, 1)
    assert client.flush()
    assert ingest.requests == []


# Behind a request that hangs


def hanging(name: str) -> Any:
    """Answer at once, but for one event."""
    return lambda request: SILENCE if request.body["event"] == name else OK


@pytest.mark.parametrize("end", ["wait", "flush", "close"])
def test_events_behind_one_that_hangs_go_on(
    end: str, make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = hanging("E0")
    client = make_client(flush_at=1 if end == "wait" else 20, flush_interval=3600)
    track(client, 1)
    if end == "wait":
        assert eventually(lambda: ingest.in_flight == 1)
    for number in range(1, 11):
        client.track("u", f"E{number}")
    if end != "wait":
        assert getattr(client, end)(1) is False
    assert eventually(lambda: len(ingest.names) == 10)


def test_an_event_that_comes_while_others_rest_is_sent_at_once(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.2)
    client = make_client(flush_at=5, flush_interval=3600, concurrency=5)
    track(client, 5)
    assert eventually(lambda: ingest.most_in_flight == 5)
    ingest.answer = hanging("hangs")
    client.track("u", "hangs")
    assert eventually(lambda: len(ingest.names) == 5)
    client.track("u", "late")
    assert eventually(lambda: "late" in ingest.names)


def test_a_hook_that_takes_its_time_keeps_one_thread_and_no_event(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    go_on = threading.Event()
    ingest.script.append(Answer(400))
    client = make_client(flush_at=1, on_drop=lambda events, reason: go_on.wait(10))
    track(client, 1)
    assert eventually(lambda: client.stats.dropped["permanent_client_error"] == 1)
    for number in range(100):
        client.track("u", f"good {number}")
    assert eventually(lambda: len(ingest.names) == 100)
    go_on.set()


@pytest.mark.parametrize("wait", ["flush", "close"])
def test_hooks_that_wait_do_not_wait_for_each_other(
    wait: str, make_client: MakeClient, ingest: IngestServer
) -> None:
    took: list[float] = []

    def on_error(event: Event, error: Exception) -> None:
        begun = time.monotonic()
        getattr(client, wait)()
        took.append(time.monotonic() - begun)

    ingest.answer = Answer(401, delay=0.1)
    client = make_client(flush_at=1, on_error=on_error, close_timeout=5)
    track(client, 20)
    assert eventually(lambda: client.stats.waiting == 0 and len(took) > 0)
    assert client.flush(10) or client.closed
    assert max(took) < 4


def test_a_hook_hears_of_the_drops_that_it_leads_to(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    told: list[tuple[str, str]] = []

    def on_drop(events: list[Event], reason: str) -> None:
        told.extend((event.event, str(reason)) for event in events)
        client.close(0)

    ingest.script.append(Answer(400))
    ingest.answer = SILENCE
    client = make_client(concurrency=1, on_drop=on_drop)
    track(client, 10)
    client.flush(2)
    assert eventually(lambda: len(told) == 10)
    assert {reason for _, reason in told} == {"permanent_client_error", "close_timeout"}


def test_a_hook_that_flushes_takes_no_time_from_other_threads(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.script.append(Answer(400))
    ingest.answer = slow(0.4)
    client = make_client(flush_at=1, on_error=lambda event, error: client.flush(0.1))
    track(client, 20)
    client.flush()
    assert client.stats.delivered == 19
    assert client.stats.retried <= 1  # what the hook's own thread sent, with that little time


@both_engines
def test_nothing_is_sent_again_after_the_end(make_client: MakeClient, ingest: IngestServer) -> None:
    client = make_client(concurrency=1)
    track(client, 1)
    client.flush()
    ingest.answer = slow(1)
    client.track("u", "slow")
    assert not client.close(0.3)
    assert eventually(lambda: ingest.in_flight == 0)
    assert [each.body["event"] for each in ingest.requests] == ["E0", "slow"]


@both_engines
def test_a_request_that_has_no_answer_ends_with_the_client(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client(timeout=60)
    ingest.answer = SILENCE
    client.track("u", "E")
    client._sender.hurry()
    assert eventually(lambda: ingest.in_flight == 1)
    (thread,) = client._sender._threads
    client.close(0)
    thread.join(20)
    assert not thread.is_alive()


def test_a_client_that_is_opened_while_it_closes_is_looked_after(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.5)
    client = make_client()
    track(client, 1)
    closing = threading.Thread(target=client.close)
    closing.start()
    assert eventually(lambda: client.closed)
    client.reopen()
    closing.join()
    assert client._sender in lifecycle._finishable
    assert client in lifecycle.clients()


@both_engines
def test_a_client_that_is_opened_often_keeps_nothing(make_client: MakeClient) -> None:
    client = make_client()
    former = weakref.ref(client._sender)
    client.close()
    client.reopen()
    gc.collect()
    assert former() is None
