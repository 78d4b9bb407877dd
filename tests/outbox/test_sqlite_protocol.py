"""Several owners of one file that live, crash and take over from each other.

The model is of all of them: which events wait, which are leased by whom, which may come again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from datalyr_core.outbox.sqlite import SqliteOutbox
from tests.outbox.protocol import LIMIT, SETTINGS, Protocol

pytestmark = pytest.mark.timeout(300)  # files, on a disk that others use too

MOST_OWNERS = 3


def make(folder: str, *, limit: int = 1000, window: int = 1000) -> SqliteOutbox:
    path = Path(folder) / "outbox.sqlite3"
    return SqliteOutbox(
        path, sink="here", limit=limit, most_bytes=2**20, window=window, interval=0.0
    )


class SqliteProtocol(Protocol):
    """One owner alone: until its end, nothing tells it from the outbox in memory."""

    abandons = False

    def make(self) -> SqliteOutbox:
        self._folder = tempfile.TemporaryDirectory()
        return make(self._folder.name, limit=LIMIT)

    def teardown(self) -> None:
        super().teardown()
        self.outbox.abandon()
        self.outbox._shut()  # it stays open while something is on its way
        self._folder.cleanup()


class Process:
    """Stand for a process: its outbox, and what it has of it."""

    def __init__(self, outbox: SqliteOutbox) -> None:
        self.outbox = outbox
        self.accepted = 0
        self.leased: dict[bytes, Any] = {}
        self.settled: set[bytes] = set()
        self.own: list[bytes] = []  # in order, what it put in and nobody has settled


class SharedFile(RuleBasedStateMachine):
    """Do what some processes do with one file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.count = 0
        self.processes: list[Process] = []
        self.left: set[bytes] = set()  # of dead owners: has to come
        self.again: set[bytes] = set()  # settled by owners that crashed at once: may come
        self.start()

    def new(self) -> SqliteOutbox:
        return make(self.folder.name, window=4)

    @precondition(lambda self: len(self.processes) < MOST_OWNERS)
    @rule()
    def start(self) -> None:
        self.processes.append(Process(self.new()))

    @rule(which=st.integers(0, MOST_OWNERS), count=st.integers(1, 12))
    def put(self, which: int, count: int) -> None:
        process = self.process(which)
        for _ in range(count):
            self.count += 1
            body = b'{"n":%d}' % self.count
            assert process.outbox.put(body) == []
            process.own.append(body)
            process.accepted += 1

    @rule(which=st.integers(0, MOST_OWNERS), patient=st.booleans(), count=st.integers(1, 5))
    def lease(self, which: int, patient: bool, count: int) -> None:
        process = self.process(which)
        for _ in range(count):
            entry = process.outbox.lease(patient=patient)
            if entry is None:
                assert not self.waiting(process), "its own wait, and nothing is handed out"
                return
            self.handed_out(process, entry, patient=patient)

    def handed_out(self, process: Process, entry: Any, *, patient: bool) -> None:
        body = entry.body
        assert not any(body in each.leased for each in self.processes), f"{body!r} is leased twice"
        assert not any(body in each.settled for each in self.processes), f"{body!r} was settled"
        if body in process.own:
            if not patient:
                assert body == self.waiting(process)[0], "not in order"
        else:
            assert body in self.left | self.again, f"{body!r} is of a process that lives"
        process.leased[body] = entry

    @rule(which=st.integers(0, MOST_OWNERS), back=st.booleans(), data=st.data())
    def answer(self, which: int, back: bool, data: st.DataObject) -> None:
        """Have what is leased delivered, or not."""
        process = self.process(which)
        if not process.leased:
            return
        bodies = st.lists(st.sampled_from(sorted(process.leased)), min_size=1, unique=True)
        for body in data.draw(bodies):
            entry = process.leased.pop(body)
            if back:
                entry.failed_flushes += data.draw(st.integers(0, 4))
                assert process.outbox.give_back(entry)
            else:
                assert process.outbox.settle(entry)
                self.forget(body)
                process.settled.add(body)
            assert not process.outbox.settle(entry)

    @rule(which=st.integers(0, MOST_OWNERS))
    def tend(self, which: int) -> None:
        """Do upkeep, which may take over what a dead owner left."""
        self.process(which).outbox.tend()

    @precondition(lambda self: len(self.processes) > 1)
    @rule(which=st.integers(0, MOST_OWNERS))
    def look_beside_one_that_lives(self, which: int) -> None:
        """Look for dead owners while another has events that are its own: none is handed out.

        The rules above come to that as well, but seldom: a lock that does not lock gets by.
        """
        self.put(which + 1, 1)
        self.tend(which)
        self.lease(which, patient=False, count=2)

    @rule(which=st.integers(0, MOST_OWNERS))
    def close(self, which: int) -> None:
        process = self.process(which)
        for entry in process.leased.values():
            assert process.outbox.holds(entry)
        assert process.outbox.abandon() == [], "lost, though the file is in order"
        for body, entry in sorted(process.leased.items()):  # what was on its way comes back
            assert process.outbox.give_back(entry), body
        process.leased.clear()
        process.outbox.tend()
        self.dies(process)

    @rule(which=st.integers(0, MOST_OWNERS))
    def crash(self, which: int) -> None:
        """End as by SIGKILL: nothing is closed; the system gives up the locks."""
        self.dies(self.process(which))

    def dies(self, process: Process) -> None:
        self.processes.remove(process)
        self.left |= {*process.own, *(set(process.leased) - self.again)}
        # What it had settled may still be in the file, or not.
        self.again |= process.settled
        outbox = process.outbox
        for lane in (outbox._own, outbox._foreign, *outbox._ending):
            if lane.lock is not None:
                lane.lock.close()
        outbox._shut()
        if not self.processes:
            self.start()

    # What the model says

    def process(self, which: int) -> Process:
        return self.processes[which % len(self.processes)]

    def waiting(self, process: Process) -> list[bytes]:
        return [body for body in process.own if body not in process.leased]

    def forget(self, body: bytes) -> None:
        self.left.discard(body)
        self.again.discard(body)
        for each in self.processes:
            if body in each.own:
                each.own.remove(body)

    @invariant()
    def counts(self) -> None:
        for process in self.processes:
            outbox = process.outbox
            assert outbox.accepted == process.accepted
            assert len(outbox) == len(process.own)
            assert outbox.held >= len(process.own)
            assert outbox.waiting >= len(self.waiting(process))
            for entry in process.leased.values():
                assert outbox.holds(entry)

    def teardown(self) -> None:
        """Let all crash, and one take over: it gets everything that nobody has settled, once."""
        while len(self.processes) > 1 or self.processes[0].accepted or self.processes[0].leased:
            self.crash(0)  # the heir is to have nothing of its own, nor anything on its way
        [heir] = self.processes
        told: list[bytes] = []
        while heir.outbox.take_over():
            before = len(told)
            while (entry := heir.outbox.lease(patient=False)) is not None:
                told.append(entry.body)
                assert heir.outbox.settle(entry)
            assert len(told) > before, "what it has taken over is not handed out"
            heir.outbox.tend()
        assert len(told) == len(set(told)), "the same event came twice"
        assert self.left <= set(told), f"{self.left - set(told)} is lost"
        assert set(told) <= self.left | self.again, "what nobody knows of has come"
        heir.outbox.abandon()
        self.folder.cleanup()


TestSqliteAlone = SqliteProtocol.TestCase
TestSqliteAlone.settings = settings(SETTINGS, max_examples=40)
TestSharedFile = SharedFile.TestCase
TestSharedFile.settings = settings(SETTINGS, max_examples=100)
