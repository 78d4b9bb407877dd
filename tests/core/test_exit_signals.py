"""Signals that come while a process is ending already: they end no delivery."""

from __future__ import annotations

import signal
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from datalyr_core import Datalyr, Reply
from datalyr_core.sender import Sender
from tests.conftest import MakeClient
from tests.core.test_exit import SERVER, TERMINATED
from tests.support.ingest import OK, SILENCE, Answer, IngestServer, Received, slow
from tests.support.scripts import Scripts
from tests.support.waiting import eventually

# A thread that sends a signal as soon as the process has begun to deliver before its end.
NAG = """
import atexit, os, signal, sys, threading, time
from datalyr_core import Datalyr, lifecycle

def at_the_end():  # after the delivery, since it is registered before
    print("delivered", client.stats.delivered)
    print("handler kept", signal.getsignal(signal.SIGTERM) == before)

atexit.register(at_the_end)
client = Datalyr.from_env()

def nag(signum, times, pause):
    while not lifecycle.is_exiting():
        time.sleep(0.005)
    for _ in range(times):
        time.sleep(pause)
        os.kill(os.getpid(), signum)

def nagged(signum, times=5, pause=0.02):
    global before
    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=nag, args=(signum, times, pause), daemon=True).start()
    client.track("u", "E")
"""

# What the client itself saw of it: an ingest may take an event of a process that is gone.
DELIVERED = "delivered 1\nhandler kept True\n"


@pytest.mark.parametrize(
    "handler",
    [
        "",
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))",
    ],
    ids=["ours", "default", "ignored", "a server's"],
)
def test_sigterm_during_an_exit_ends_no_delivery(
    handler: str, scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.4)
    ended = scripts.run(f"{NAG}\n{handler}\nnagged(signal.SIGTERM)\n")
    assert (ended.code, ended.err, ended.out) == (0, "", DELIVERED)


def test_a_sigterm_before_the_end_is_what_the_process_dies_of(
    scripts: Scripts, ingest: IngestServer
) -> None:
    """Also where the main thread ends while another delivers, as under uvicorn."""
    ingest.answer = slow(0.4)
    ended = scripts.run(
        """
        import os, signal
        from datalyr_core import Datalyr
        client = Datalyr.from_env()
        client.track("u", "E")
        os.kill(os.getpid(), signal.SIGTERM)
        """
    )
    assert (ended.code, ended.err) == (-signal.SIGTERM, "")
    assert ingest.names == ["E"]


def test_a_server_that_answers_a_second_signal_with_an_exit(
    scripts: Scripts, ingest: IngestServer
) -> None:
    """As gunicorn's workers do with SIGQUIT."""
    ingest.answer = slow(0.4)
    leave = "signal.signal(signal.SIGQUIT, lambda *_: sys.exit(9))\nnagged(signal.SIGQUIT)\n"
    ended = scripts.run(NAG + leave)
    assert (ended.code, ended.err, ended.out) == (0, "", DELIVERED)


def test_a_second_ctrl_c_that_comes_at_once_is_a_tools(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.4)
    ended = scripts.run(NAG + "nagged(signal.SIGINT, times=2)\n")
    assert (ended.code, ended.err, ended.out) == (0, "", DELIVERED)


def test_a_later_ctrl_c_ends_the_wait(scripts: Scripts, ingest: IngestServer) -> None:
    ingest.answer = SILENCE
    # Well behind the second that the first part of the wait may take.
    ended = scripts.run(NAG + "nagged(signal.SIGINT, times=1, pause=2.5)\n", exit_timeout=30)
    assert ended.code == 0
    assert "1 are lost" in ended.err
    assert "Traceback" not in ended.err
    assert ended.took < 25


def test_a_second_sigterm_does_not_reach_a_server_before_the_delivery(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.4)
    twice = """
        exits = True
        lifecycle.hold_sigterm()
        client.track("u", "E")
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        serve()
    """
    ended = scripts.run(SERVER + textwrap.dedent(twice))
    assert (ended.code, ended.err) == (7, "")
    assert ended.out.split() == ["handled", "1", "stopped"]


def test_a_second_sigterm_does_not_kill_before_the_delivery(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.4)
    twice = """
import os, signal, time
for _ in range(5):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)
while True:
    time.sleep(0.05)
"""
    ended = scripts.run(
        "from datalyr_core import Datalyr\nDatalyr.from_env().track('u', 'E')" + twice
    )
    assert (ended.code, ended.err) == (-signal.SIGTERM, "")
    assert ingest.names == ["E"]


def is_first(request: Received) -> bool:
    return bool(request.body["event"] == "E")


def test_a_server_waits_for_the_very_events_that_waited(
    scripts: Scripts, ingest: IngestServer
) -> None:
    """Others that come later and are delivered sooner do not stand in for them."""

    def answer(request: Received) -> Answer:
        return slow(1.5) if is_first(request) else OK

    ingest.answer = answer
    busy = """
def work():
    while not stopping.is_set():
        client.track("u", "More")
        time.sleep(0.002)
def handle(signum, frame):
    print("waited" if time.monotonic() - begun > 1 else "did not wait", flush=True)
    stopping.set()
signal.signal(signal.SIGTERM, handle)
threading.Thread(target=work, daemon=True).start()
exits = True
lifecycle.hold_sigterm()
begun = time.monotonic()
"""
    ended = scripts.run(SERVER + busy + TERMINATED, exit_timeout=20, flush_at=1)
    assert ended.code == 7
    assert ended.out.startswith("waited")
    assert "E" in ingest.names


def test_a_mark_is_past_when_everything_before_it_is_settled(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = lambda request: slow(0.5) if is_first(request) else OK
    client = make_client(flush_at=1)
    sender = client._sender
    assert sender.is_past(sender.mark())
    client.track("u", "E")
    mark = sender.mark()
    client.track("u", "F")
    assert eventually(lambda: "F" in ingest.names, 20)
    assert not sender.is_past(mark)
    assert eventually(lambda: sender.is_past(mark), 20)
    assert "E" in ingest.names


class LateSender(Sender):
    """A sender that gets an event the very moment that it has delivered everything."""

    def _drain(self, deadline: float) -> None:
        super()._drain(deadline)
        self._outbox.put(b'{"event":"Late"}')


def test_what_comes_when_all_is_delivered_is_not_given_up(make_client: MakeClient) -> None:
    client = make_client()
    client._sender.__class__ = LateSender
    client._sender.finish(time.monotonic() + 20)
    assert (client.stats.waiting, client.stats.dropped) == (1, {})
    client._sender.finish(time.monotonic())  # now the time is over
    assert client.stats.dropped == {"close_timeout": 2}


def test_threads_that_deliver_at_the_same_time_use_the_time_of_the_exit_up_once() -> None:
    answers = threading.Event()

    class Slow:
        def send(self, body: bytes) -> Reply:
            assert answers.wait(20)
            return Reply(200)

    with Datalyr("dk_test", transport=Slow(), exit_timeout=20) as client:
        client.track("u", "E")
        deadline = time.monotonic() + 60
        at_once = threading.Barrier(61)

        def finish() -> None:
            at_once.wait(20)
            client._sender.finish(deadline)

        threads = [threading.Thread(target=finish) for _ in range(60)]
        for thread in threads:
            thread.start()
        at_once.wait(20)
        time.sleep(0.5)  # 30 s of all of them
        answers.set()
        for thread in threads:
            thread.join(20)
        assert client.track("u", "F")
        assert client.stats.delivered == 2


def test_a_thread_that_comes_last_lets_another_tell_what_is_lost() -> None:
    told: list[str] = []
    asked, may_tell = threading.Event(), threading.Event()

    def on_drop(events: object, reason: str) -> None:
        asked.set()
        assert may_tell.wait(20)
        told.append(reason)

    class Silent:
        def send(self, body: bytes) -> Reply:
            assert may_tell.wait(20)
            return Reply(503)

    client = Datalyr("dk_test", transport=Silent(), on_drop=on_drop, exit_timeout=0)
    client.track("u", "E")
    first = threading.Thread(target=client._sender.finish, args=(time.monotonic(),))
    first.start()
    assert asked.wait(20)
    threading.Timer(0.2, may_tell.set).start()
    client._sender.finish(time.monotonic())  # the process would end now
    assert told == ["close_timeout"]
    first.join(20)
    client.close()


def test_a_thread_that_finds_nothing_left_lets_another_tell_what_is_lost() -> None:
    told: list[str] = []
    asked, may_tell = threading.Event(), threading.Event()

    def on_drop(events: object, reason: str) -> None:
        asked.set()
        assert may_tell.wait(20)
        told.append(reason)

    class Silent:
        def send(self, body: bytes) -> Reply:
            assert may_tell.wait(20)
            return Reply(503)

    client = Datalyr("dk_test", transport=Silent(), on_drop=on_drop, exit_timeout=20)
    client.track("u", "E")
    first = threading.Thread(target=client._sender.finish, args=(time.monotonic(),))
    first.start()  # its time is over
    assert asked.wait(20)
    threading.Timer(0.2, may_tell.set).start()
    client._sender.finish(time.monotonic() + 20)  # that of this one is not
    assert told == ["close_timeout"]
    first.join(20)
    client.close()


def test_a_hook_that_tracks_while_it_tells_is_waited_for_all_the_same() -> None:
    told: list[str] = []
    tracked, may_tell = threading.Event(), threading.Event()

    def on_drop(events: object, reason: str) -> None:
        client.track("u", "Lost something")  # which is given up at once
        tracked.set()
        assert may_tell.wait(20)
        told.append(reason)

    class Silent:
        def send(self, body: bytes) -> Reply:
            assert may_tell.wait(20)
            return Reply(503)

    client = Datalyr("dk_test", transport=Silent(), on_drop=on_drop, exit_timeout=0)
    client.track("u", "E")
    first = threading.Thread(target=client._sender.finish, args=(time.monotonic(),))
    first.start()
    assert tracked.wait(20)
    threading.Timer(0.2, may_tell.set).start()
    client._sender.finish(time.monotonic())
    assert told == ["close_timeout"]
    first.join(20)
    client.close()


def test_an_exit_does_not_wait_for_a_finalizer_that_waits_for_it() -> None:
    """It tracks in the middle of a decision, whose lock the exit needs to give up the rest."""

    class Silent:
        def send(self, body: bytes) -> Reply:
            assert over.wait(20)
            return Reply(503)

    over = threading.Event()
    client = Datalyr("dk_test", transport=Silent(), exit_timeout=0)
    client.track("u", "E")
    sender = client._sender
    sender._exiting = True

    def is_ending() -> bool:
        if free := sender._ending.acquire(blocking=False):
            sender._ending.release()
        return not free

    with sender._dispatcher._lock:  # as a thread that decides
        give_up = threading.Thread(target=sender._give_up_rest, args=("it is over",), daemon=True)
        give_up.start()
        eventually(is_ending, 0.5)
        assert sender._ending.acquire(timeout=20), "each waits for the other"
        sender._ending.release()
    over.set()
    give_up.join(20)
    assert not give_up.is_alive()
    client.close()


def interrupted(client: Datalyr, handler: Callable[[], object]) -> list[object]:
    """Track an event, with a signal's handler in the middle of it; return what that returned."""
    outbox: Any = client._sender._outbox
    put, answers = outbox.put, []

    def interrupt(body: bytes) -> Any:
        del outbox.put
        with outbox._lock:
            answers.append(handler())
            return put(body)

    outbox.put = interrupt
    assert client.track("u", "Interrupted")
    return answers


@pytest.mark.parametrize("wait", [Datalyr.flush, Datalyr.drain])
def test_a_handler_that_waits_in_the_middle_of_track_waits_for_nothing(
    make_client: MakeClient, ingest: IngestServer, wait: Callable[..., bool]
) -> None:
    client = make_client()
    client.track("u", "Before")
    assert interrupted(client, lambda: wait(client, timeout=5)) == [False]
    assert client.flush(20)
    assert sorted(ingest.names) == ["Before", "Interrupted"]


def test_a_handler_that_closes_in_the_middle_of_track_closes_after_it(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client()
    client.track("u", "Before")
    assert interrupted(client, lambda: client.close(timeout=20)) == [False]
    assert eventually(lambda: client.closed, 20)
    assert client.close(timeout=20)
    assert sorted(ingest.names) == ["Before", "Interrupted"]
