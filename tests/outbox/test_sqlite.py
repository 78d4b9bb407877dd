"""The outbox by itself; others of the same file stand for other processes."""

from __future__ import annotations

import json
import sqlite3
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datalyr_core.event import Event
from datalyr_core.outbox import store
from datalyr_core.outbox.base import Entry
from datalyr_core.outbox.lane import DEDUPLICATED
from datalyr_core.outbox.locks import FileLock, is_locked
from datalyr_core.outbox.sqlite import BATCH, MOST_EVICTED, SqliteOutbox
from datalyr_core.outbox.sqlite_file import CHECKPOINT_AT, OutboxFile, checkpoint, lock_path
from datalyr_core.outbox.store import SETTLED, inherited
from tests.outbox.conftest import MakeOutbox


def fill(outbox: SqliteOutbox, count: int, name: str = "e") -> None:
    for number in range(1, count + 1):
        outbox.put(b"%s%d" % (name.encode(), number))


def leased(outbox: SqliteOutbox) -> Entry:
    entry = outbox.lease(patient=False)
    assert entry is not None
    return entry


def drained(outbox: SqliteOutbox) -> Iterator[bytes]:
    """Deliver whatever can be leased."""
    while entry := outbox.lease(patient=False):
        outbox.settle(entry)
        outbox.tend()
        yield entry.body


def remove_all(path: Path) -> None:
    for part in path.parent.iterdir():
        part.unlink()


def rows(path: Path, what: str = "body", table: str = "events") -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(f"SELECT {what} FROM {table} ORDER BY id")]


def test_nothing_is_opened_before_the_first_event(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox()
    assert (len(outbox), outbox.waiting, outbox.oldest) == (0, 0, None)
    assert not path.exists()


def test_what_was_put_in_is_in_the_file(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox()
    assert outbox.put(b"one") == []
    assert rows(path) == [b"one"]
    assert (outbox.accepted, outbox.waiting, len(outbox), outbox.oldest) == (1, 1, 1, 1)


def test_only_its_user_can_read_the_file(make_outbox: MakeOutbox, path: Path) -> None:
    make_outbox().put(b"one")
    modes = {part.name: stat.S_IMODE(part.stat().st_mode) for part in path.parent.iterdir()}
    assert set(modes) == {
        *("outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db-lock", "outbox.db-owner-1")
    }
    assert set(modes.values()) == {0o600}


def test_first_in_first_out(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    fill(outbox, 3)
    assert list(drained(outbox)) == [b"e1", b"e2", b"e3"]
    assert (len(outbox), outbox.held, outbox.waiting) == (0, 0, 0)


def test_what_is_settled_is_deleted_at_once_when_nothing_else_waits(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    assert outbox.settle(leased(outbox))
    outbox.tend()
    assert rows(path) == []


def test_deletions_are_grouped_but_not_for_long(
    make_outbox: MakeOutbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SETTLE_WITHIN", 600.0)
    outbox = make_outbox()
    fill(outbox, SETTLED + 2)
    for _ in range(SETTLED - 1):
        outbox.settle(leased(outbox))
        assert outbox.tend() is not None
    assert len(rows(path)) == SETTLED + 2
    outbox.settle(leased(outbox))
    outbox.tend()
    assert len(rows(path)) == 2

    outbox.settle(leased(outbox))
    outbox._settled_since -= 600  # the time goes by
    outbox.tend()
    assert len(rows(path)) == 1


def test_an_entry_is_settled_exactly_once(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    entry = leased(outbox)
    assert outbox.holds(entry)
    assert [outbox.settle(entry), outbox.settle(entry), outbox.give_back(entry)] == [
        *(True, False, False)
    ]
    assert not outbox.holds(entry)


def test_what_is_given_back_returns_to_its_old_place(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox()
    fill(outbox, 3)
    entries = [leased(outbox), leased(outbox)]
    for entry in reversed(entries):
        assert outbox.give_back(entry)
    assert list(drained(outbox)) == [b"e1", b"e2", b"e3"]


def test_what_the_window_has_no_room_for_is_read_from_the_file_in_order(
    make_outbox: MakeOutbox,
) -> None:
    outbox = make_outbox(window=5)
    fill(outbox, 3 * BATCH)
    assert (len(outbox), outbox.waiting, len(outbox._own)) == (3 * BATCH, 3 * BATCH, 5)
    found = list(drained(outbox))
    assert found == [b"e%d" % number for number in range(1, 3 * BATCH + 1)]


def test_what_comes_while_some_are_in_the_file_alone_comes_after_them(
    make_outbox: MakeOutbox,
) -> None:
    outbox = make_outbox(window=3)
    fill(outbox, 5)
    found = [leased(outbox).body for _ in range(2)]
    outbox.put(b"e6")  # there would be room for it
    assert [*found, *drained(outbox)] == [b"e%d" % number for number in range(1, 7)]


def test_what_was_written_late_is_not_read_again(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox(window=2)
    fill(outbox, 1)
    within(outbox, lambda: outbox.put(b"nested"))
    outbox.tend()
    outbox.put(b"e4")  # in the file alone
    assert rows(path) == [b"e1", b"outer", b"nested", b"e4"]
    assert sorted(drained(outbox)) == [b"e1", b"e4", b"nested", b"outer"]


def test_the_oldest_is_known_when_it_is_in_the_file_alone(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(window=1)
    fill(outbox, 3)
    assert outbox.oldest == 1
    outbox.settle(leased(outbox))
    assert outbox.oldest == 2


def test_a_lease_passes_over_what_is_to_wait(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(window=2)
    fill(outbox, 2)
    entry = outbox.lease(patient=False, unless={1})
    assert entry is not None
    assert entry.number == 2
    assert outbox.lease(patient=True, unless={1}) is None


def test_rows_that_somebody_has_deleted_are_no_longer_waited_for(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox(window=1)
    fill(outbox, 5)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM events")
        connection.commit()
    assert list(drained(outbox)) == [b"e1"]
    assert (len(outbox), outbox._own.events) == (0, 0)


def test_where_nothing_can_make_room_the_bound_waits(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox(window=1)
    fill(outbox, 3)
    leased(outbox)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM events")
        connection.commit()
    outbox._room = 0  # others have it all
    assert [each.body for each in outbox.put(b"e4")] == [b"e4"]


# Taking over


def test_the_living_are_left_alone(make_outbox: MakeOutbox) -> None:
    one, other = make_outbox(), make_outbox()
    fill(one, 3)
    fill(other, 1, "f")
    other.tend()
    assert list(drained(other)) == [b"f1"]
    assert other.taken_over == 0
    assert list(drained(one)) == [b"e1", b"e2", b"e3"]


def test_what_was_left_is_taken_over(make_outbox: MakeOutbox, path: Path) -> None:
    one, other = make_outbox(), make_outbox()
    fill(one, 3)
    assert one.abandon() == []
    assert (one.kept, len(one), one.held) == (3, 0, 0)

    fill(other, 1, "f")
    other.tend()
    assert (other.taken_over, other.waiting, other.held, len(other)) == (3, 4, 4, 1)
    assert other.oldest == 1  # of its own
    assert sorted(drained(other)) == [b"e1", b"e2", b"e3", b"f1"]
    other.tend()
    assert rows(path) == []
    assert len(rows(path, "id", "owners")) == 1
    assert not Path(f"{path}-owner-1").exists()


def test_what_was_taken_over_and_the_own_go_by_turns(make_outbox: MakeOutbox) -> None:
    one, other = make_outbox(), make_outbox()
    fill(one, 3)
    one.abandon()
    fill(other, 3, "f")
    other.tend()
    assert [leased(other).body for _ in range(6)] == [b"e1", b"f1", b"e2", b"f2", b"e3", b"f3"]


def test_one_owner_after_the_other(make_outbox: MakeOutbox) -> None:
    for name in "abc":
        dead = make_outbox()
        fill(dead, 2, name)
        dead.abandon()
    outbox = make_outbox(interval=3600.0)
    fill(outbox, 1)
    outbox.tend()
    assert outbox.taken_over == 2  # others may take the rest meanwhile
    assert sorted(drained(outbox)) == [b"a1", b"a2", b"b1", b"b2", b"c1", b"c2", b"e1"]


def test_an_owner_without_events_is_cleared_away(make_outbox: MakeOutbox, path: Path) -> None:
    dead, outbox = make_outbox(), make_outbox()
    fill(dead, 1)
    for lane in (dead._own,):  # as kill -9 leaves it
        assert lane.lock is not None
        lane.lock.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM events")
        connection.commit()
    fill(outbox, 1)
    outbox.tend()
    assert rows(path, "id", "owners") == [2]
    assert not Path(f"{path}-owner-1").exists()


def test_an_owner_whose_lock_was_deleted_is_taken_over(make_outbox: MakeOutbox, path: Path) -> None:
    dead, outbox = make_outbox(), make_outbox()
    fill(dead, 1)
    dead.abandon()
    Path(f"{path}-owner-1").unlink()  # a copy of the database has none
    fill(outbox, 1, "f")
    outbox.tend()
    assert sorted(drained(outbox)) == [b"e1", b"f1"]


def test_an_owner_whose_lock_cannot_be_opened_is_left_alone(
    make_outbox: MakeOutbox, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dead, other = make_outbox(), make_outbox()
    fill(dead, 1)
    dead.abandon()
    lock_path(path, 1).unlink()
    lock_path(path, 1).mkdir()  # nobody can open it, whoever runs this
    other.put(b"o1")
    other.tend()
    assert list(drained(other)) == [b"o1"]
    assert caplog.records == []
    lock_path(path, 1).rmdir()
    other.tend()
    assert list(drained(other)) == [b"e1"]


def test_a_file_of_another_sink_is_left_alone(make_outbox: MakeOutbox, path: Path) -> None:
    other = make_outbox(sink="other key")
    fill(other, 2)
    other.abandon()
    outbox = make_outbox()
    fill(outbox, 1, "f")
    outbox.tend()
    assert list(drained(outbox)) == [b"f1"]
    assert rows(path) == [b"e1", b"e2"]


def test_a_greedy_one_counts_what_others_left_as_its_own(make_outbox: MakeOutbox) -> None:
    dead, outbox = make_outbox(), make_outbox()
    assert not outbox.take_over()
    fill(dead, 3)
    dead.abandon()
    assert outbox.take_over()
    assert (len(outbox), outbox.accepted) == (3, 0)
    assert list(drained(outbox)) == [b"e1", b"e2", b"e3"]
    assert not outbox.take_over()


# The end


def test_what_is_on_its_way_at_the_end_is_not_given_to_others(make_outbox: MakeOutbox) -> None:
    one, other = make_outbox(), make_outbox()
    fill(one, 2)
    entry = leased(one)
    one.abandon()
    assert (one.kept, one.holds(entry)) == (2, True)
    fill(other, 1, "f")
    other.tend()
    assert other.taken_over == 0

    assert one.settle(entry)  # the answer has come after all
    assert one.tend() is None
    assert (one.kept, one.holds(entry), one.settle(entry)) == (1, False, False)
    other.tend()
    assert sorted(drained(other)) == [b"e2", b"f1"]


def test_what_fails_after_the_end_is_for_others(make_outbox: MakeOutbox) -> None:
    one, other = make_outbox(), make_outbox()
    fill(one, 1)
    entry = leased(one)
    one.abandon()
    assert one.give_back(entry)
    one.tend()
    assert (one.kept, one.lease(patient=False)) == (1, None)
    fill(other, 1, "f")
    other.tend()
    assert sorted(drained(other)) == [b"e1", b"f1"]


def test_what_is_taken_over_can_be_left_again(make_outbox: MakeOutbox) -> None:
    one, two, three = make_outbox(), make_outbox(), make_outbox()
    fill(one, 3)
    one.abandon()
    fill(two, 1, "f")
    two.tend()
    two.settle(leased(two))
    assert two.taken_over == 3
    assert two.abandon() == []
    assert (two.taken_over, two.kept) == (1, 1)
    for _ in range(2):
        fill(three, 1, "g")
        three.tend()
        found = sorted(drained(three))
    assert found == [b"g1"]
    assert rows(three._path) == []


def test_it_begins_anew_after_the_end(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    outbox.abandon()
    outbox.put(b"late")
    assert (len(outbox), outbox.oldest, rows(path)) == (1, 2, [b"e1", b"late"])
    assert list(drained(outbox)) == [b"late"]


def test_nothing_is_left_of_an_owner_that_has_delivered(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    outbox.settle(leased(outbox))
    outbox.abandon()
    assert sorted(part.name for part in path.parent.iterdir()) == ["outbox.db", "outbox.db-lock"]
    assert rows(path, "id", "owners") == []


def test_one_that_is_abandoned_while_it_takes_over_leaves_that_to_others(
    make_outbox: MakeOutbox, path: Path
) -> None:
    dead, outbox, next_one = make_outbox(), make_outbox(), make_outbox()
    fill(dead, 3)
    dead.abandon()

    class Slow(OutboxFile):
        def measure(self, owner: int) -> tuple[int, int]:
            outbox.abandon()  # in another thread
            return super().measure(owner)

    fill(outbox, 1)
    outbox.settle(leased(outbox))
    outbox._adopt(Slow(path))
    assert (outbox.taken_over, outbox.held) == (0, 0)
    fill(next_one, 1, "n")
    next_one.tend()
    assert next_one.taken_over == 3


# A fork closes the file, and another may be in its place when it is opened again


def test_what_was_settled_is_not_deleted_from_another_file(
    make_outbox: MakeOutbox, path: Path
) -> None:
    one, two = make_outbox(), make_outbox()
    fill(one, 3)
    settled = [leased(one), leased(one)]
    one.before_fork()
    one.after_fork()
    for entry in settled:
        one.settle(entry)
    remove_all(path)
    fill(two, 3, "f")
    one._settled_since = 0.0  # it is due
    one.tend()
    assert {b"f1", b"f2", b"f3"} <= set(rows(path))


def test_what_others_have_in_another_file_is_not_read_for_ones_own(
    make_outbox: MakeOutbox, path: Path
) -> None:
    one, two = make_outbox(window=2), make_outbox()
    fill(one, 4)  # two of them in the file alone
    one.before_fork()
    one.after_fork()
    remove_all(path)
    fill(two, 6, "f")
    assert [leased(one).body for _ in range(2)] == [b"e1", b"e2"]
    assert one.lease(patient=False) is None
    assert list(drained(two)) == [b"f%d" % number for number in range(1, 7)]


# Bounds


def test_the_oldest_makes_room(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox(limit=5)
    fill(outbox, 5)
    first = leased(outbox)
    assert [each.body for each in outbox.put(b"e6")] == [b"e2"]  # the first is on its way
    outbox.give_back(first)
    assert [each.body for each in outbox.put(b"e7")] == [b"e1"]
    outbox.abandon()
    assert rows(path) == [b"e3", b"e4", b"e5", b"e6", b"e7"]


def test_so_it_does_when_it_is_in_the_file_alone(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(limit=5, window=2)
    fill(outbox, 5)
    dropped = [each.body for number in range(3) for each in outbox.put(b"f%d" % number)]
    assert dropped == [b"e1", b"e2", b"e3"]
    assert list(drained(outbox)) == [b"e4", b"e5", b"f0", b"f1", b"f2"]


def test_bytes_are_bounded_too(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(most_bytes=100)
    for number in range(4):
        assert outbox.put(b"%d" % number * 25) == []
    assert [each.body[:1] for each in outbox.put(b"x" * 50)] == [b"0", b"1"]


def test_when_all_is_on_its_way_the_event_itself_is_dropped(make_outbox: MakeOutbox) -> None:
    outbox = make_outbox(limit=2)
    fill(outbox, 2)
    leased(outbox), leased(outbox)
    assert [each.body for each in outbox.put(b"e3")] == [b"e3"]


def test_what_was_taken_over_makes_room_before_the_own(make_outbox: MakeOutbox) -> None:
    dead, outbox = make_outbox(), make_outbox(limit=5)
    fill(dead, 3)
    dead.abandon()
    fill(outbox, 2, "f")
    outbox.tend()
    assert [each.body for each in outbox.put(b"f3")] == [b"e1"]


def test_what_the_living_have_counts(make_outbox: MakeOutbox) -> None:
    one, other = make_outbox(limit=5), make_outbox(limit=5)
    fill(one, 4)
    one.tend()
    assert other.put(b"f1") == []
    assert [each.body for each in other.put(b"f2")] == [b"f1"]


def test_one_that_was_abandoned_takes_nothing_over_and_opens_nothing(
    make_outbox: MakeOutbox,
) -> None:
    dead, outbox = make_outbox(), make_outbox()
    fill(dead, 3)
    fill(outbox, 1, "own")
    outbox.abandon()
    dead.abandon()
    assert not outbox.take_over()  # a drain was under way when its client was closed
    assert len(outbox) == 0
    assert outbox._file._connection is None


def test_others_learn_now_and_then_how_much_there_is(
    make_outbox: MakeOutbox, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.setattr("datalyr_core.outbox.sqlite.PUBLISH_EVERY", 10)
    outbox = make_outbox()
    fill(outbox, 10)
    assert rows(path, "events", "owners") == [10]
    assert rows(path, "bytes", "owners") == [21]


def test_a_bound_that_was_lowered_is_reached_by_and_by(make_outbox: MakeOutbox) -> None:
    dead, outbox = make_outbox(), make_outbox(limit=5)
    fill(dead, 100)
    dead.abandon()
    outbox.take_over()
    assert len(outbox.put(b"f")) == MOST_EVICTED
    while outbox.put(b"f"):
        assert outbox.held > 5 - 1
        if outbox.held == 5:
            break
    assert outbox.held == 5


# Time


def test_what_waited_longer_than_the_ingest_remembers_says_so(
    make_outbox: MakeOutbox, path: Path
) -> None:
    body = Event("Bought", None, "anon_1", "id", {"price": 1.10}, timestamp="t").to_body()
    dead = make_outbox()
    for _ in range(3):
        dead.put(body)
    dead.abandon()
    now = time.time()
    with closing(sqlite3.connect(path)) as connection:
        for number, age in enumerate((DEDUPLICATED - 60, DEDUPLICATED + 60, -60), start=1):
            connection.execute("UPDATE events SET at = ? WHERE id & 7 = ?", (now - age, number))
        connection.commit()

    outbox = make_outbox()
    outbox.take_over()
    young, old, ahead = (leased(outbox) for _ in range(3))
    assert young.body == ahead.body == body
    delayed = json.loads(old.body)
    assert DEDUPLICATED + 59 <= delayed["context"].pop("delayed_s") <= DEDUPLICATED + 90
    assert delayed == json.loads(body)

    outbox.give_back(old)
    again = leased(outbox)
    assert again.body.count(b"delayed_s") == 1


# Threads and finalizers


def test_many_threads_and_two_processes_lose_and_double_nothing(make_outbox: MakeOutbox) -> None:
    outboxes = [make_outbox(window=20, limit=10_000) for _ in range(2)]
    settled: Counter[bytes] = Counter()
    lock = threading.Lock()

    def put(name: int) -> None:
        for number in range(200):
            outboxes[name % 2].put(b"%d-%d" % (name, number))

    def take(name: int) -> None:
        outbox = outboxes[name % 2]
        while len(outbox) or outbox.accepted < 400:
            entry = outbox.lease(patient=False)
            outbox.tend()
            if entry is None:
                continue
            if entry.attempts == 0 and entry.number % 3 == 0:
                entry.attempts = 1
                outbox.give_back(entry)
            elif outbox.settle(entry):
                with lock:
                    settled[entry.body] += 1

    threads = [threading.Thread(target=put, args=(name,)) for name in range(4)]
    threads += [threading.Thread(target=take, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(settled) == 800
    assert set(settled.values()) == {1}


def test_a_finalizer_that_tracks_within_a_write_loses_nothing(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    connection = outbox._file.open()
    # SQLite calls it in the middle of a statement, as the interpreter calls a finalizer.
    ran: list[object] = []

    def finalizer(*_: object) -> int:
        if not ran:
            ran.append(True)
            ran.append(outbox.put(b"nested"))
            ran.append(outbox.lease(patient=False, unless={1}))
            ran.append(outbox.tend())
        return 0

    connection.set_progress_handler(finalizer, 1)
    outbox.put(b"outer")
    connection.set_progress_handler(None, 1)
    assert ran[1] == []
    nested = ran[2]
    assert isinstance(nested, Entry)
    assert nested.body == b"nested"
    outbox.give_back(nested)
    outbox.tend()
    assert sorted(rows(path)) == [b"e1", b"nested", b"outer"]
    assert sorted(drained(outbox)) == [b"e1", b"nested", b"outer"]
    assert rows(path) == []


def within(outbox: SqliteOutbox, act: Callable[[], object]) -> list[object]:
    """Put an event in, and act once in the midst of that, in the same thread."""
    ran: list[object] = []
    connection = outbox._file.open()

    def finalizer() -> int:
        if not ran:
            ran.append(None)
            ran[0] = act()
        return 0

    connection.set_progress_handler(finalizer, 1)
    outbox.put(b"outer")
    connection.set_progress_handler(None, 1)
    return ran


def test_a_finalizer_that_closes_within_a_write(make_outbox: MakeOutbox, path: Path) -> None:
    outbox, other = make_outbox(), make_outbox()
    fill(outbox, 1)
    assert within(outbox, outbox.abandon) == [[]]
    assert outbox.tend() is None
    assert other.take_over()
    assert list(drained(other)) == [b"e1", b"outer"]


def test_a_finalizer_that_forks_within_a_write(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox()
    fill(outbox, 1)

    def fork() -> bool:
        outbox.before_fork()
        outbox.after_fork()
        return outbox._ready

    assert within(outbox, fork) == [True]  # it cannot be closed there
    assert list(drained(outbox)) == [b"e1", b"outer"]


def test_a_file_that_was_open_at_a_fork_is_never_opened_by_the_child(
    make_outbox: MakeOutbox, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parents = make_outbox()
    fill(parents, 1)
    parents.disown()
    try:
        fill(make_outbox(), 1)
        assert "this process was forked without Python's hooks" in caplog.text
        assert rows(path) == [b"e1"]
    finally:
        inherited.pop(path).close()


def test_an_event_comes_while_another_is_still_on_its_way_after_the_end(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    entry = leased(outbox)
    outbox.abandon()
    outbox.put(b"late")
    assert outbox.settle(entry)
    outbox.tend()
    assert rows(path) == [b"late"]
    assert list(drained(outbox)) == [b"late"]


def test_what_was_taken_over_and_is_answered_after_the_end_counts(
    make_outbox: MakeOutbox,
) -> None:
    dead, outbox = make_outbox(), make_outbox()
    fill(dead, 2)
    dead.abandon()
    assert outbox.take_over()
    entry = leased(outbox)
    outbox.abandon()
    assert (outbox.taken_over, outbox.kept) == (0, 0)
    assert outbox.settle(entry)
    assert (outbox.taken_over, outbox.kept) == (1, 0)
    outbox.tend()


def test_an_owner_that_another_has_just_finished_with(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    assert outbox._file.claim(77) is None
    assert not Path(f"{path}-owner-77").exists()


def test_a_write_of_several_is_all_or_nothing(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    file = outbox._file
    with pytest.raises(sqlite3.IntegrityError):
        file.add([(5, 1.0, b"one"), (5, 1.0, b"the same id")])
    outbox.put(b"e2")
    assert rows(path) == [b"e1", b"e2"]


def test_there_is_no_log_to_write_back(path: Path) -> None:
    checkpoint(path)
    assert not path.exists()


def test_the_log_is_written_back_and_stays_short(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox(most_bytes=10**8, limit=10_000)
    log = Path(f"{path}-wal")
    most = 0
    for _ in range(200):
        outbox.put(b"x" * 20_000)
        outbox.settle(leased(outbox))
        outbox.tend()
        most = max(most, log.stat().st_size)
    assert CHECKPOINT_AT < most < 3 * CHECKPOINT_AT


def test_one_whose_lock_was_removed_stays_its_own(make_outbox: MakeOutbox, path: Path) -> None:
    living, other = make_outbox(), make_outbox()
    fill(living, 1)
    lock_path(path, 1).unlink()
    living.tend()
    assert is_locked(lock_path(path, 1))
    other.put(b"o1")
    other.tend()
    assert list(drained(other)) == [b"o1"]


def taken_for_dead(make_outbox: MakeOutbox, path: Path) -> tuple[SqliteOutbox, SqliteOutbox]:
    """Return one that lives, whose lock somebody has removed, and another that has its event."""
    living, heir = make_outbox(), make_outbox()
    fill(living, 1, "before")
    lock_path(path, 1).unlink()
    assert heir.take_over()
    return living, heir


def die(outbox: SqliteOutbox) -> None:
    """Give up the lock, as the system does for a process that is killed."""
    lock = outbox._own.lock
    assert lock is not None
    lock.close()


def test_what_one_that_passed_for_dead_puts_in_is_not_lost(
    make_outbox: MakeOutbox, path: Path
) -> None:
    living, heir = taken_for_dead(make_outbox, path)
    assert list(drained(heir)) == [b"before1"]
    heir.take_over()
    assert not is_locked(lock_path(path, 1))  # it is through with it
    fill(living, 1, "during")
    living.tend()
    fill(living, 1, "after")
    assert is_locked(lock_path(path, 1))
    die(living)
    heir.take_over()
    assert {b"during1", b"after1"} <= set(drained(heir))


def test_the_lock_of_one_that_passes_for_dead_is_left_to_who_has_it(
    make_outbox: MakeOutbox, path: Path
) -> None:
    living, heir = taken_for_dead(make_outbox, path)
    living.tend()
    fill(living, 1, "during")
    die(living)
    assert set(drained(heir)) == {b"before1", b"during1"}
    heir.take_over()
    assert not lock_path(path, 1).exists()


def test_an_owner_that_has_put_in_more_is_not_forgotten(
    make_outbox: MakeOutbox, path: Path
) -> None:
    living, heir = taken_for_dead(make_outbox, path)
    entry = leased(heir)
    fill(living, 1, "during")
    die(living)
    heir.settle(entry)
    heir.tend()
    heir.take_over()
    assert list(drained(heir)) == [b"during1"]


def test_a_lock_removes_no_other_that_is_in_its_place(path: Path) -> None:
    lock = FileLock.acquire(path)
    assert lock
    path.unlink()
    other = FileLock.acquire(path)
    lock.remove()
    assert other
    assert is_locked(path)
