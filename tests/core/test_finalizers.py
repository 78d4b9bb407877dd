"""Finalizers run in whatever thread, between any two steps, also of ours; so do signal handlers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from datalyr_core import Datalyr, Reply
from datalyr_core.dispatcher import Bell
from datalyr_core.outbox.base import Entry
from datalyr_core.outbox.memory import MemoryOutbox
from tests.conftest import MakeClient
from tests.support.scripts import Scripts
from tests.support.waiting import eventually

SCRIPT = """
import gc, logging, random, sys, threading
from datalyr_core import Datalyr, Reply

errors = []
threading.excepthook = lambda told: errors.append(told.exc_value)
sys.unraisablehook = lambda told: errors.append(told.exc_value)

class Log(logging.Handler):  # a stream would refuse, by itself, to be entered twice
    def emit(self, record):
        log.append(record.getMessage())

log = []
logging.basicConfig(handlers=[Log()], level=logging.DEBUG)

class Transport:
    def send(self, body):
        return Reply(random.choice((200, 200, 400, 503)))

client = Datalyr("dk_test", transport=Transport(), max_queue_size=100, flush_interval=1)

class Tracking:
    def __init__(self):
        self.me = self  # only the garbage collector ends it

    def __del__(self):
        client.track("u", "From a finalizer")
        logging.getLogger("datalyr").info("tracked")
        client.stats
        MORE

def work():
    with client.backpressure(timeout=TIMEOUT):
        for number in range(600):
            Tracking()
            client.track("u", "E", {"list": [number]})
            if number % 100 == 0:
                client.flush(0.01)

gc.set_threshold(5)  # it runs hundreds of times as often as usual
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
gc.set_threshold(700)
client.close(1)
stats = client.stats
assert stats.accepted > 1800, stats
assert stats.accepted == stats.delivered + sum(stats.dropped.values()), stats
assert errors == [], errors
assert "tracked" in log
print("ok")
"""


@pytest.mark.parametrize("timeout", ["0", "0.001"], ids=["no wait", "backpressure"])
@pytest.mark.parametrize(
    "more", ["pass", "random.random() < 0.02 and client.flush(0.01)"], ids=["tracks", "flushes"]
)
def test_finalizers_that_track_log_and_flush_in_the_middle_of_everything(
    timeout: str, more: str, scripts: Scripts
) -> None:
    ended = scripts.run(SCRIPT.replace("MORE", more).replace("TIMEOUT", timeout))
    assert (ended.code, ended.out, ended.err) == (0, "ok\n", "")


class InterruptedOutbox(MemoryOutbox):
    """An outbox that is interrupted while it takes an event in."""

    def put(self, body: bytes) -> list[Entry]:
        with self._lock:
            evicted = super().put(body)
            self.__class__ = MemoryOutbox  # type: ignore[assignment]  # once
            interrupt()
            return evicted


def interrupt() -> None:
    """Be what a test says."""


def test_tracking_in_the_middle_of_tracking_waits_for_no_other_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other thread decides, which holds a lock, and wants the outbox for that."""
    answers, sending = threading.Event(), threading.Semaphore(0)

    class Waiting:
        def send(self, body: bytes) -> Reply:
            sending.release()
            assert answers.wait(20)
            return Reply(200)

    client = Datalyr("dk_test", transport=Waiting(), flush_at=1)
    lock = client._sender._dispatcher._lock

    def is_held() -> bool:
        if free := lock.acquire(blocking=False):
            lock.release()
        return not free

    def handler() -> None:
        answers.set()
        assert eventually(is_held, 20)
        client.track("u", "Handler")

    client.track("u", "First")
    assert sending.acquire(timeout=20)
    client._sender._threads.add(threading.Thread())  # another one, which rests
    client._sender._dispatcher._resting += 1
    monkeypatch.setattr(sys.modules[__name__], "interrupt", handler)
    client._outbox.__class__ = InterruptedOutbox
    thread = threading.Thread(target=client.track, args=("u", "Second"), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert eventually(lambda: client.stats.delivered == 3, 20)
    client.close()


def test_what_makes_room_in_the_middle_of_tracking_is_told_of(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    client = make_client(
        transport=Refusing(),
        max_queue_size=100,
        on_drop=lambda events, reason: told.extend(each.event for each in events),
    )
    for number in range(100):
        client.track("u", f"{number}")
    monkeypatch.setattr(
        sys.modules[__name__], "interrupt", lambda: client.track("u", "Handler") and None
    )
    client._outbox.__class__ = InterruptedOutbox
    client.track("u", "Outer")
    # Two of those that waited, and each once; which are the oldest depends on what is on its way.
    assert len(set(told) & {f"{number}" for number in range(100)}) == len(told) == 2
    assert client.stats.dropped == {"queue_overflow": 2}


class Refusing:
    def send(self, body: bytes) -> Reply:
        return Reply(503)


def rung(bell: threading.Condition, at: int) -> bool:
    """Ring a bell, and again before a line of that; tell whether there was such a line."""
    left = at

    def line(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        nonlocal left
        if event == "line" and frame.f_code.co_name == "notify":
            left -= 1
            if left == 0:
                bell.notify_all()
        return line

    before = sys.gettrace()
    sys.settrace(line)
    try:
        bell.notify_all()
    finally:
        sys.settrace(before)
    return left <= 0


def test_a_bell_may_ring_in_the_middle_of_its_ringing() -> None:
    """`threading.Condition` raises IndexError then."""
    at = 0
    more = True
    while more:
        at += 1
        bell = Bell(threading.RLock())
        woken = threading.Semaphore(0)

        def wait(bell: Bell = bell, woken: threading.Semaphore = woken) -> None:
            with bell:
                bell.wait(20)
                woken.release()

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert eventually(lambda b=bell: len(b._waiters) == 3)
        with bell:
            more = rung(bell, at)
        for thread in threads:
            thread.join(20)
        assert all(woken.acquire(blocking=False) for _ in threads)
    assert at > 5


def test_a_bell_that_rings_while_it_rings_rings_again() -> None:
    bell = Bell(threading.RLock())
    waiters: Any = vars(bell)["_waiters"]
    rung: list[int] = []

    class Waiter:
        """Have a handler come in the very moment that a thread is woken."""

        def release(self) -> None:
            rung.append(len(rung))
            if len(rung) == 1:
                waiters.append(Waiter())
                bell.notify_all()

    with bell:
        waiters.append(Waiter())
        bell.notify_all()
    assert rung == [0, 1]
