"""A file that cannot be used: one line, memory instead, and back when it can be."""

from __future__ import annotations

import logging
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from datalyr_core.outbox import sqlite_file, store
from datalyr_core.outbox.locks import FileLock
from datalyr_core.outbox.schema import MIGRATIONS
from datalyr_core.outbox.sqlite import SqliteOutbox
from tests.outbox.conftest import MakeOutbox
from tests.outbox.test_sqlite import drained, fill, leased, rows, within

CANNOT = "cannot be used ("
AGAIN = "is in use again"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY", 0.02)
    monkeypatch.setattr(store, "BUSY", 0.02)
    monkeypatch.setattr(store, "RETRY_FIRST", 0.001)
    monkeypatch.setattr(store, "RETRY_MOST", 0.002)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("datalyr")]


def mended(outbox: SqliteOutbox) -> None:
    outbox._retry_at = outbox._look_at = 0.0  # the time goes by
    outbox.tend()


def falls_back(outbox: SqliteOutbox, caplog: pytest.LogCaptureFixture, why: str) -> None:
    """Put some in, and see that it goes on in memory, with one line."""
    before = len(outbox)
    fill(outbox, 3, "m")
    mended(outbox)
    mended(outbox)
    fill(outbox, 3, "n")
    (line,) = told(caplog)
    assert CANNOT in line
    assert why in line
    assert caplog.records[0].levelno == logging.ERROR
    assert len(outbox) == outbox.held == before + 6
    assert outbox.waiting >= 6
    caplog.clear()


def goes_on(outbox: SqliteOutbox, caplog: pytest.LogCaptureFixture, path: Path) -> None:
    """See that it uses the file again, and what was in memory is there too."""
    mended(outbox)
    assert AGAIN in told(caplog)[-1]
    outbox.put(b"well")
    found = rows(path)
    assert {b"m1", b"m2", b"m3", b"n1", b"n2", b"n3", b"well"} <= set(found)
    assert sorted(drained(outbox)) == sorted(found)
    assert rows(path) == []


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def test_a_folder_that_is_not_there(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, make_outbox: MakeOutbox
) -> None:
    path = tmp_path / "missing" / "outbox.db"
    outbox = SqliteOutbox(path, sink="s", limit=9, most_bytes=10**6, window=100, interval=1.0)
    falls_back(outbox, caplog, "No such file or directory")
    path.parent.mkdir()
    goes_on(outbox, caplog, path)
    outbox.abandon()


def test_a_folder_that_is_no_folder(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outbox = SqliteOutbox(
        tmp_path / "file" / "outbox.db", sink="s", limit=9, most_bytes=99, window=9, interval=1.0
    )
    falls_back(outbox, caplog, "Not a directory")
    assert [entry.body for entry in outbox.abandon()] == [b"m1", b"m2", b"m3", b"n1", b"n2", b"n3"]


def test_a_file_that_another_process_has_locked(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 2)
    with locked(path):
        falls_back(outbox, caplog, "database is locked")
    goes_on(outbox, caplog, path)


def test_one_that_is_locked_from_the_beginning(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    make_outbox().put(b"one")
    outbox = make_outbox()
    with locked(path):
        falls_back(outbox, caplog, "database is locked")
    mended(outbox)
    assert AGAIN in told(caplog)[-1]


def test_one_that_another_process_opens_for_too_long(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    lock = FileLock.acquire(Path(f"{path}-lock"))
    assert lock is not None
    falls_back(outbox, caplog, "another process has been opening it")
    lock.close()
    goes_on(outbox, caplog, path)


def test_a_crowd_that_opens_it_at_the_start_is_no_trouble(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    lock = FileLock.acquire(Path(f"{path}-lock"))
    assert lock is not None
    fill(outbox, 2)
    outbox.tend()
    assert (outbox.waiting, path.exists()) == (2, False)
    lock.close()
    mended(outbox)
    assert rows(path) == [b"e1", b"e2"]
    assert told(caplog) == []


def test_who_tracks_waits_for_one_that_opens_it_as_for_one_that_writes_and_only_once(
    make_outbox: MakeOutbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    real = FileLock.acquire

    def acquire(path: Path, *, wait: float = 0.0) -> FileLock | None:
        waits.append(wait)
        return real(path, wait=wait)

    monkeypatch.setattr(sqlite_file.FileLock, "acquire", acquire)
    outbox = make_outbox()
    lock = real(Path(f"{path}-lock"))
    assert lock is not None
    fill(outbox, 1)
    mended(outbox)
    mended(outbox)
    assert waits == [store.BUSY, 0.0, 0.0]
    lock.close()


def test_what_was_settled_while_it_was_locked_is_deleted_later(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 2)
    entry = leased(outbox)
    with locked(path):
        outbox.settle(leased(outbox))
        outbox.settle(entry)
        outbox.tend()
        outbox.tend()
        assert outbox.lease(patient=False) is None
    assert len(rows(path)) == 2
    mended(outbox)
    outbox.tend()
    assert rows(path) == []


def test_what_is_in_the_file_alone_waits_until_it_can_be_read(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox(window=2)
    fill(outbox, 4)
    with locked(path):
        outbox.put(b"on its way")
        assert (outbox.waiting, len(outbox)) == (3, 5)
        assert [leased(outbox).body for _ in range(3)] == [b"on its way", b"e1", b"e2"]
        assert outbox.lease(patient=False) is None
        outbox.put(b"waits")
        mended(outbox)
    mended(outbox)
    assert rows(path) == [b"e1", b"e2", b"e3", b"e4", b"waits"]
    assert list(drained(outbox)) == [b"e3", b"e4", b"waits"]


def test_reading_can_fail_too(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox(window=1)
    fill(outbox, 3)
    outbox.settle(leased(outbox))
    outbox.before_fork()  # closes the file
    outbox.after_fork()
    with locked(path):
        assert outbox.lease(patient=False) is None
    assert told(caplog) == []  # nothing is logged under the sender's lock
    outbox.tend()
    assert CANNOT in told(caplog)[0]
    mended(outbox)
    assert list(drained(outbox)) == [b"e2", b"e3"]


def test_reading_can_fail_in_an_open_file_too(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox(window=1)
    fill(outbox, 3)
    outbox.settle(leased(outbox))
    with closing(sqlite3.connect(path)) as other:
        other.execute("ALTER TABLE events RENAME TO away")
        assert outbox.lease(patient=False) is None
        other.execute("ALTER TABLE away RENAME TO events")
    outbox.tend()
    assert CANNOT in told(caplog)[0]
    mended(outbox)
    assert list(drained(outbox)) == [b"e2", b"e3"]


def test_what_was_settled_before_it_can_be_opened_again_is_deleted_later(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    entry = leased(outbox)
    outbox.before_fork()  # closes the file
    outbox.after_fork()
    with locked(path):
        outbox.settle(entry)
        outbox.tend()
    assert rows(path) == [b"e1"]
    mended(outbox)
    outbox.tend()
    assert rows(path) == []


def test_memory_is_bounded(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    outbox = SqliteOutbox(
        tmp_path / "missing" / "x.db", sink="s", limit=99, most_bytes=999, window=3, interval=1.0
    )
    fill(outbox, 3)
    assert [each.body for each in outbox.put(b"e4")] == [b"e1"]
    assert [each.body for each in outbox.abandon()] == [b"e2", b"e3", b"e4"]


def test_a_disk_that_is_full(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 2)
    outbox.put(b"x" * 50_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        falls_back(outbox, caplog, "disk")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    goes_on(outbox, caplog, path)


def test_a_disk_that_has_room_for_little(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        outbox.put(b"x" * 50_000)
        for _ in range(5):  # it can be opened each time
            mended(outbox)
        (line,) = told(caplog)
        assert CANNOT in line
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    mended(outbox)
    assert len(told(caplog)) == 2
    assert AGAIN in told(caplog)[1]
    assert len(rows(path)) == 3


def test_a_file_that_is_damaged_from_the_beginning(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    path.write_bytes(b"this is no database" * 1000)
    outbox = make_outbox()
    fill(outbox, 2)
    (line,) = told(caplog)
    assert "file is not a database" in line
    mended(outbox)
    (aside,) = set_aside(path)
    assert aside.read_bytes() == b"this is no database" * 1000
    assert f"was damaged and is now {aside.name}" in told(caplog)[1]
    assert AGAIN in told(caplog)[2]
    assert rows(path) == [b"e1", b"e2"]
    assert sorted(drained(outbox)) == [b"e1", b"e2"]


def set_aside(path: Path) -> list[Path]:
    """Return the damaged files, without what belongs to them."""
    return [part for part in path.parent.glob("*.corrupt-*") if part.name[-4:].isdecimal()]


def damage(path: Path) -> None:
    """Write over every page but the first, as a bad disk would."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(512)
        file.write(b"\xa5" * (size - 512))


def test_a_file_that_is_damaged_on_the_way(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox, other = make_outbox(window=4), make_outbox()
    fill(outbox, 6)
    taken = [leased(outbox) for _ in range(2)]
    outbox.before_fork()  # closes the file
    outbox.after_fork()
    damage(path)
    outbox.put(b"f")
    mended(outbox)
    assert len(set_aside(path)) == 1
    assert "was damaged" in told(caplog)[1]
    assert outbox.kept == 2  # they are in the damaged file alone
    assert sorted(rows(path)) == [b"e1", b"e2", b"e3", b"e4", b"f"]
    for entry in taken:
        assert outbox.settle(entry)
    assert sorted(drained(outbox)) == [b"e3", b"e4", b"f"]
    assert rows(path) == []

    caplog.clear()
    other.put(b"g")  # it finds a good file, and sets nothing aside
    assert told(caplog) == []
    assert len(set_aside(path)) == 1


def test_a_file_that_another_process_has_already_set_aside(
    make_outbox: MakeOutbox, path: Path
) -> None:
    outbox, other = make_outbox(), make_outbox()
    fill(outbox, 1)
    fill(other, 1, "f")
    for each in (outbox, other):
        each.before_fork()
        each.after_fork()
    damage(path)
    for each in (outbox, other):
        each.put(b"late")
        mended(each)
    assert sorted(rows(path)) == [b"e1", b"f1", b"late", b"late"]
    assert len(set_aside(path)) == 1


def test_two_that_find_it_damaged_set_it_aside_once(make_outbox: MakeOutbox, path: Path) -> None:
    outbox, other = make_outbox(), make_outbox()
    for each in (outbox, other):
        each.put(b"early")
        each.before_fork()
        each.after_fork()
    damage(path)
    for each in (outbox, other):
        each.put(b"late")
        assert each._corrupt
    for each in (outbox, other):
        mended(each)
    assert sorted(rows(path)) == [b"early", b"early", b"late", b"late"]
    assert len(set_aside(path)) == 1


def test_a_damaged_file_that_somebody_removes(make_outbox: MakeOutbox, path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)
    outbox = make_outbox()
    fill(outbox, 1)
    path.unlink()
    mended(outbox)
    assert rows(path) == [b"e1"]


def test_a_file_that_is_locked_when_memory_is_to_be_saved(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    within(outbox, lambda: outbox.put(b"nested"))
    with locked(path):
        mended(outbox)
    assert CANNOT in told(caplog)[0]
    mended(outbox)
    assert sorted(rows(path)) == [b"e1", b"nested", b"outer"]


def test_a_file_that_was_removed_or_replaced(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    dead = make_outbox()
    fill(dead, 2, "d")
    dead.abandon()
    outbox = make_outbox()
    fill(outbox, 2)
    outbox.tend()  # takes the dead one's over
    for part in path.parent.iterdir():
        part.unlink()
    mended(outbox)
    (line,) = told(caplog)
    assert "it was moved away or removed" in line
    mended(outbox)
    assert sorted(rows(path)) == [b"e1", b"e2"]
    assert len(outbox) == 2


def test_a_number_that_is_anothers_in_the_file_of_today(
    make_outbox: MakeOutbox, path: Path
) -> None:
    first, second = make_outbox(), make_outbox()
    fill(first, 2, "a")
    fill(second, 2, "b")
    for part in path.parent.iterdir():
        part.unlink()
    for each in (second, first):  # so that the second has the number of the first
        mended(each)
        mended(each)
    assert sorted(rows(path)) == [b"a1", b"a2", b"b1", b"b2"]
    assert list(drained(first)) == [b"a1", b"a2"]
    assert rows(path) == [b"b1", b"b2"]
    assert list(drained(second)) == [b"b1", b"b2"]


def test_a_number_whose_lock_is_held_by_one_who_has_not_noticed_yet(
    make_outbox: MakeOutbox, path: Path
) -> None:
    first, second = make_outbox(), make_outbox()
    for each in (first, second):
        fill(each, 1)
        each.before_fork()
        each.after_fork()
    damage(path)
    second.put(b"late")
    mended(second)
    assert rows(path) == [b"e1", b"late"]
    first.put(b"last")
    mended(first)
    assert rows(path) == [b"e1", b"late", b"e1", b"last"]


def test_another_applications_database(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY)")
    before = path.read_bytes()
    outbox = make_outbox()
    falls_back(outbox, caplog, "it is the database of another application")
    assert len(outbox.abandon()) == 6
    assert path.read_bytes() == before


def test_a_file_of_a_later_release(
    caplog: pytest.LogCaptureFixture, make_outbox: MakeOutbox, path: Path
) -> None:
    make_outbox().put(b"one")
    later = len(MIGRATIONS) + 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {later}")
    outbox = make_outbox()
    falls_back(outbox, caplog, f"it has version {later} of the outbox's tables")


def test_a_folder_without_shared_memory(
    caplog: pytest.LogCaptureFixture,
    make_outbox: MakeOutbox,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect: Callable[..., Any] = sqlite3.connect
    # SQLite's own VFS without shared memory, as a network's file system is.
    monkeypatch.setattr(
        sqlite_file.sqlite3,  # type: ignore[attr-defined]  # the module that it imports
        "connect",
        lambda path, **options: connect(f"file:{path}?vfs=unix-dotfile", uri=True, **options),
    )
    falls_back(make_outbox(), caplog, "takes no write-ahead log")


def test_the_pauses_grow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(store, "RETRY_FIRST", 1.0)
    monkeypatch.setattr(store, "RETRY_MOST", 5.0)
    outbox = SqliteOutbox(
        tmp_path / "missing" / "x.db", sink="s", limit=99, most_bytes=999, window=3, interval=1.0
    )
    fill(outbox, 1)
    pauses = []
    for _ in range(4):
        pauses.append(round(outbox.tend() or 0))
        mended(outbox)
    assert pauses == [1, 2, 4, 5]
    outbox._look_at = 0.0
    assert outbox.tend() is not None  # a look before its time
    assert outbox._broken
