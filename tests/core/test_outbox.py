from __future__ import annotations

import gc
import random
import signal
import threading
from collections import Counter

import pytest

from datalyr_core.outbox.base import Entry
from datalyr_core.outbox.memory import PATIENCE, MemoryOutbox


@pytest.fixture
def outbox() -> MemoryOutbox:
    return MemoryOutbox(5)


def fill(outbox: MemoryOutbox, count: int) -> None:
    for number in range(1, count + 1):
        outbox.put(b"%d" % number)


def lease(outbox: MemoryOutbox, *, patient: bool = False) -> Entry:
    entry = outbox.lease(patient=patient)
    assert entry is not None
    return entry


def bodies(entries: list[Entry]) -> list[bytes]:
    return [entry.body for entry in entries]


def test_first_in_first_out(outbox: MemoryOutbox) -> None:
    fill(outbox, 3)
    assert [lease(outbox).body for _ in range(3)] == [b"1", b"2", b"3"]
    assert outbox.lease(patient=False) is None
    assert outbox.lease(patient=True) is None


def test_what_is_leased_counts_but_does_not_wait(outbox: MemoryOutbox) -> None:
    fill(outbox, 3)
    entry = lease(outbox)
    assert (outbox.accepted, outbox.waiting, len(outbox)) == (3, 2, 3)
    outbox.settle(entry)
    assert (outbox.accepted, outbox.waiting, len(outbox)) == (3, 2, 2)


def test_the_oldest_waiting_makes_room(outbox: MemoryOutbox) -> None:
    fill(outbox, 5)
    lease(outbox)
    assert bodies(outbox.put(b"6")) == [b"2"]  # the first is in flight, and counts
    assert (len(outbox), outbox.waiting) == (5, 4)
    assert outbox.put(b"7")[0].body == b"3"


def test_what_is_given_back_returns_to_its_old_place(outbox: MemoryOutbox) -> None:
    fill(outbox, 5)
    first, second, third = lease(outbox), lease(outbox), lease(outbox)
    for entry in (second, third, first):
        assert outbox.give_back(entry)
    assert [lease(outbox).number for _ in range(5)] == [1, 2, 3, 4, 5]


def test_an_entry_is_settled_exactly_once(outbox: MemoryOutbox) -> None:
    fill(outbox, 1)
    entry = lease(outbox)
    assert outbox.holds(entry)
    assert [outbox.settle(entry), outbox.settle(entry), outbox.give_back(entry)] == [
        True,
        False,
        False,
    ]
    assert not outbox.holds(entry)
    assert len(outbox) == 0


def test_abandoning_returns_everything_in_order_and_takes_it_away(outbox: MemoryOutbox) -> None:
    fill(outbox, 4)
    lease(outbox)
    second = lease(outbox)
    third = lease(outbox)
    outbox.give_back(second)
    assert bodies(outbox.abandon()) == [b"1", b"2", b"3", b"4"]
    assert not outbox.settle(third)
    assert (len(outbox), outbox.abandon()) == (0, [])


def test_a_patient_lease_passes_over_what_fails_far_more_often(outbox: MemoryOutbox) -> None:
    fill(outbox, 3)
    first = lease(outbox)
    outbox.give_back(first)
    first.failed_flushes = PATIENCE - 1
    assert lease(outbox, patient=True) is first  # no more often than it may
    outbox.give_back(first)
    first.failed_flushes = PATIENCE
    assert lease(outbox, patient=True).number == 2
    assert lease(outbox).number == 1


def test_many_threads_lose_and_double_nothing() -> None:
    outbox = MemoryOutbox(10_000)
    settled: Counter[bytes] = Counter()
    lock = threading.Lock()

    def put(name: int) -> None:
        for number in range(500):
            outbox.put(b"%d-%d" % (name, number))

    def take() -> None:
        while len(outbox) or outbox.accepted < 2000:
            entry = outbox.lease(patient=False)
            if entry is None or (entry.attempts == 0 and entry.number % 3 == 0):
                if entry is not None:
                    entry.attempts = 1
                    outbox.give_back(entry)
                continue
            if outbox.settle(entry):
                with lock:
                    settled[entry.body] += 1

    threads = [threading.Thread(target=put, args=(name,)) for name in range(4)]
    threads += [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(settled) == 2000
    assert set(settled.values()) == {1}


class Finalizer:
    """Put an event in when an entry is looked at, as a finalizer does that tracks just then."""

    def __init__(self, outbox: MemoryOutbox, *, passes: int) -> None:
        self._outbox = outbox
        self._passes = passes
        self.evicted: list[Entry] = []
        self._ran = False

    def __contains__(self, number: object) -> bool:
        if not self._ran:
            self._ran = True
            self.evicted = self._outbox.put(b"of a finalizer")
        return number == self._passes


@pytest.mark.parametrize("patient", [True, False])
@pytest.mark.parametrize("count", [2, 5], ids=["with room", "full"])
def test_a_finalizer_that_tracks_comes_in_between(
    patient: bool, count: int, outbox: MemoryOutbox
) -> None:
    fill(outbox, count)
    finalizer = Finalizer(outbox, passes=1)
    entry = outbox.lease(patient=patient, unless=finalizer)
    assert entry is not None
    assert entry.body == b"2"
    assert bodies(finalizer.evicted) == [b"1"] * (count == 5)
    left = [b"%d" % number for number in range(1, count + 1)] + [b"of a finalizer"]
    assert bodies(outbox.abandon()) == left[count == 5 :]


def test_a_finalizer_that_takes_the_very_entry_away(outbox: MemoryOutbox) -> None:
    fill(outbox, 5)
    entry = outbox.lease(patient=False, unless=Finalizer(outbox, passes=0))
    assert entry is not None
    assert entry.body == b"2"
    assert len(outbox) == 5


def test_no_event_is_lost_where_a_signals_handler_raises() -> None:
    """Hundreds of times, somewhere in between."""
    outbox = MemoryOutbox(100_000)
    raising = True

    def handler(signum: int, frame: object) -> None:
        if raising:
            raise InterruptedError

    before = signal.signal(signal.SIGALRM, handler)
    put = 0
    gc.disable()  # what is raised in a callback of the collector's is ignored, and told of
    try:
        for _ in range(300):
            for _ in range(50):
                outbox.put(b"x")
            put += 50
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 3e-5))
                for _ in range(100):  # long enough for the signal; what it raises may be ignored
                    outbox.oldest  # noqa: B018 - it takes in what has arrived
                signal.setitimer(signal.ITIMER_REAL, 0)
            except InterruptedError:
                pass
    finally:
        raising = False
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    left = 0
    while outbox.lease(patient=False):
        left += 1
    assert (left, outbox.accepted) == (put, put)


def test_room_is_made_of_nothing_where_all_else_is_leased() -> None:
    """Another thread has looked for room already, and its event arrives only now."""
    outbox = MemoryOutbox(2)
    for _ in range(2):
        outbox.put(b"leased")
        assert outbox.lease(patient=False)
    outbox._arrived.append(Entry(b"of another thread"))
    evicted = [entry.body for entry in outbox.put(b"late")]
    assert evicted == [b"of another thread", b"late"]
    assert len(outbox) == 2
