from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from datalyr_core import Datalyr, Event, current_tracker
from datalyr_core.context import activate
from tests.conftest import MakeClient
from tests.support.ingest import DOWN, OK, Answer, IngestServer, Received
from tests.support.scripts import Scripts
from tests.support.waiting import eventually
from tests.support.web import PlainRequest

ROOM = 100  # the smallest queue that there is


class Barrier:
    """An ingest that keeps every request until it is told to answer."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self, request: Received) -> Answer:
        assert self.opened.wait(30)
        return OK


@pytest.fixture
def barrier(ingest: IngestServer) -> Iterator[Barrier]:
    ingest.answer = barrier = Barrier()
    yield barrier
    barrier.opened.set()


@pytest.fixture
def drops() -> list[str]:
    return []


@pytest.fixture
def client(make_client: MakeClient, drops: list[str]) -> Datalyr:
    def note(events: list[Event], reason: str) -> None:
        drops.extend(str(reason) for _ in events)

    return make_client(max_queue_size=ROOM, timeout=60, concurrency=2, on_drop=note)


def fill(client: Datalyr) -> None:
    for number in range(ROOM):
        client.track("u", f"Early {number}")


@contextmanager
def running(work: Any) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work, name="script")
    thread.start()
    yield thread
    thread.join(30)
    assert not thread.is_alive()


def waits_for_room(client: Datalyr) -> bool:
    # What the waiting thread itself says: a condition knows who waits on it.
    return bool(client._sender._dispatcher._room._waiters)  # type: ignore[attr-defined]  # CPython's own


def test_a_call_waits_for_room_and_nothing_is_lost(
    client: Datalyr, ingest: IngestServer, barrier: Barrier, drops: list[str]
) -> None:
    def script() -> None:
        with client.backpressure():
            for number in range(5 * ROOM):
                client.track("u", f"Event {number}")

    with running(script):
        assert eventually(lambda: waits_for_room(client), 30)
        assert client.stats.accepted == client.stats.waiting == ROOM
        barrier.opened.set()
    assert client.flush()
    assert drops == []
    assert sorted(ingest.names) == sorted(f"Event {number}" for number in range(5 * ROOM))


def test_it_ends_with_its_block(client: Datalyr, barrier: Barrier, drops: list[str]) -> None:
    with client.backpressure():
        fill(client)
    client.track("u", "After")
    assert drops == ["queue_overflow"]


def test_blocks_nest(client: Datalyr, barrier: Barrier, drops: list[str]) -> None:
    with client.backpressure(timeout=0):
        with client.backpressure():
            fill(client)
        client.track("u", "One too many")
    assert drops == ["queue_overflow"]


def test_after_its_time_out_the_oldest_makes_room(
    client: Datalyr, barrier: Barrier, drops: list[str]
) -> None:
    fill(client)
    with client.backpressure(timeout=0.01):
        assert client.track("u", "Late")
    assert drops == ["queue_overflow"]


def test_only_the_thread_that_asked_waits(
    client: Datalyr, barrier: Barrier, drops: list[str]
) -> None:
    with client.backpressure():
        fill(client)
        with running(lambda: client.track("u", "Of a request's thread")):
            pass
    assert drops == ["queue_overflow"]


def test_a_request_within_the_block_never_waits(
    client: Datalyr, barrier: Barrier, drops: list[str]
) -> None:
    with client.backpressure():
        fill(client)
        tracker = client.tracker(PlainRequest())
        with activate(tracker):
            assert current_tracker() is tracker
            tracker.track("By the tracker")
            client.track("u", "By the client, within the request")
    assert drops == ["queue_overflow"] * 2


def test_a_block_within_a_request_does_wait(
    client: Datalyr, ingest: IngestServer, barrier: Barrier, drops: list[str]
) -> None:
    def job() -> None:
        with activate(client.tracker(PlainRequest())), client.backpressure():
            client.track("u", "Late")

    fill(client)
    with running(job):
        assert eventually(lambda: waits_for_room(client), 30)
        barrier.opened.set()
    assert client.flush()
    assert drops == []


def test_closing_ends_the_wait(client: Datalyr, barrier: Barrier, drops: list[str]) -> None:
    tracked: list[str | None] = []

    def script() -> None:
        with client.backpressure():
            tracked.append(client.track("u", "Late"))

    fill(client)
    with running(script):
        assert eventually(lambda: waits_for_room(client), 30)
        client.close(timeout=0)
    assert tracked == [None]
    assert sorted(drops) == ["close_timeout"] * ROOM + ["closed"]


def test_what_is_refused_or_given_up_makes_room(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = barrier = Barrier()
    client = make_client(max_queue_size=ROOM, flush_interval=1, retry_limit=0, concurrency=1)
    fill(client)
    assert eventually(lambda: ingest.in_flight == 1, 30)
    for entry in client._outbox._waiting:  # type: ignore[attr-defined]  # of this outbox
        entry.failed_flushes = 9  # the next one is the last
    ingest.script.append(DOWN)
    ingest.answer = Answer(400)
    barrier.opened.set()
    with client.backpressure(timeout=30):
        client.track("u", "Late")
    client.flush()
    assert client.stats.dropped == {"permanent_client_error": ROOM - 1, "max_flush_attempts": 1}
    assert client.stats.delivered == 1


def test_in_an_event_loop_it_does_not_wait_and_says_so_once(
    client: Datalyr, barrier: Barrier, drops: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        with client.backpressure():
            fill(client)
            client.track("u", "One")
            client.track("u", "Two")

    asyncio.run(main())
    assert drops == ["queue_overflow"] * 2
    assert caplog.text.count("does not wait in a thread that runs an event loop") == 1


def test_a_hook_in_a_senders_thread_does_not_wait(
    make_client: MakeClient, ingest: IngestServer, drops: list[str]
) -> None:
    """It would wait for itself."""
    ingest.script.append(Answer(400))
    hooked = threading.Event()

    def on_error(event: Event, error: Exception) -> None:
        fill(client)
        with client.backpressure():
            client.track("u", "From the hook")
        hooked.set()

    client = make_client(max_queue_size=ROOM, concurrency=1, on_error=on_error)
    client.track("u", "Refused")
    client.flush(30)
    assert hooked.is_set()
    assert client.stats.dropped["queue_overflow"] == 1


def test_a_finalizer_in_a_call_does_not_wait(
    client: Datalyr, barrier: Barrier, drops: list[str]
) -> None:
    """It may have interrupted its thread where that holds a lock."""

    class Tracking:
        def __del__(self) -> None:
            client.track("u", "From the finalizer")

    def before_send(event: Event) -> Event:  # stands for any moment of a call
        if event.event == "Late":
            Tracking()
            gc.collect()
        return event

    changed = client.config.from_mapping(vars(client.config), before_send=before_send)
    client.config = client._hooks._config = changed
    fill(client)
    with client.backpressure(timeout=0.01):
        client.track("u", "Late")
    assert drops == ["queue_overflow"] * 2


def test_a_disabled_client_never_waits(make_client: MakeClient) -> None:
    client = make_client(enabled=False, max_queue_size=ROOM)
    with client.backpressure():
        fill(client)
        assert client.track("u", "One more")


def test_a_bad_time_out_is_one_warning(client: Datalyr, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with client.backpressure(timeout="soon"), client.backpressure(timeout=object()):  # type: ignore[arg-type]  # wrong on purpose
        client.track("u", "E")
    assert [record.getMessage() for record in caplog.records] == [
        "backpressure(timeout='soon') is no number of seconds; the default is used"
    ]


def test_a_script_that_ends_within_its_block_delivers_everything(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        """
        import atexit
        from datalyr_core import Datalyr
        client = Datalyr.from_env()
        block = client.backpressure()
        block.__enter__()
        @atexit.register
        def late():
            for number in range(150):
                client.track("u", f"Late {number}")
        for number in range(500):
            client.track("u", f"Event {number}")
        """,
        max_queue_size=ROOM,
    )
    assert (ended.code, ended.err) == (0, "")
    assert len(set(ingest.names)) == len(ingest.names) == 650


def test_where_there_is_room_nobody_waits_for_those_who_send(client: Datalyr) -> None:
    """Their lock is taken for every event that goes out."""
    client.track("u", "First")
    assert client.flush()
    tracked: list[str | None] = []

    def script() -> None:
        with client.backpressure():
            tracked.append(client.track("u", "E"))

    with client._sender._dispatcher._lock, running(script) as thread:
        thread.join(10)
        assert len(tracked) == 1
    assert client.flush()
