"""What a durable outbox says of itself."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from datalyr_core.event import Event
from datalyr_core.outbox import reading
from datalyr_core.outbox.locks import FileLock, is_locked
from datalyr_core.outbox.reading import read_events, read_status
from datalyr_core.outbox.schema import Unusable
from tests.outbox.conftest import MakeOutbox
from tests.outbox.test_sqlite import fill, leased, rows


def test_status(make_outbox: MakeOutbox, path: Path) -> None:
    begun = time.time()
    dead, alive = make_outbox(sink="one"), make_outbox(sink="other")
    fill(dead, 3)
    fill(alive, 2)
    dead.abandon()
    alive.settle(leased(alive))
    alive.settle(leased(alive))
    alive.tend()

    status = read_status(path)
    assert (status.path, status.version, status.events, status.size) == (path, 1, 3, 6)
    assert status.file_size >= path.stat().st_size
    one, other = status.owners
    assert (one.owner, one.alive, one.events, one.sink, one.size) == (1, False, 3, "one", 6)
    assert (other.owner, other.alive, other.events, other.oldest) == (2, True, 0, None)
    assert one.pid == other.pid == os.getpid()
    assert one.oldest == status.oldest
    assert begun <= (one.oldest or 0) <= one.since <= time.time()


def test_an_outbox_that_nobody_uses_is_empty(make_outbox: MakeOutbox, path: Path) -> None:
    outbox = make_outbox()
    fill(outbox, 1)
    outbox.settle(leased(outbox))
    outbox.abandon()
    status = read_status(path)
    assert (status.owners, status.events, status.oldest) == ((), 0, None)


def test_what_is_taken_over_belongs_to_the_living(make_outbox: MakeOutbox, path: Path) -> None:
    dead, outbox = make_outbox(), make_outbox()
    fill(dead, 1)
    dead.abandon()
    assert outbox.take_over()
    assert [owner.alive for owner in read_status(path).owners] == [True, True]


def test_events(make_outbox: MakeOutbox, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH", 2)
    event = Event("Bought", "user_1", "anon_1", "id", {"anonymous_id": "anon_1"}, timestamp="t")
    one, other = make_outbox(), make_outbox()
    other.put(b"first")
    for _ in range(3):
        one.put(event.to_body())
    fill(other, 2)
    found = list(read_events(path))
    assert [each.owner for each in found] == [1, 1, 1, 2, 2, 2]
    assert [each.body for each in found[:3]] == [b"first", b"e1", b"e2"]
    assert found[3].event == event
    assert found[0].accepted_at <= found[3].accepted_at
    assert [each.body for each in read_events(path, owner=1)] == [b"first", b"e1", b"e2"]
    assert len(rows(path)) == 6


def test_an_owner_whose_lock_is_gone_is_dead(make_outbox: MakeOutbox, path: Path) -> None:
    fill(make_outbox(), 1)
    Path(f"{path}-owner-1").unlink()
    assert [owner.alive for owner in read_status(path).owners] == [False]


def test_there_is_none(path: Path) -> None:
    with pytest.raises(Unusable, match="there is no outbox at"):
        read_status(path)
    with pytest.raises(Unusable, match="there is no outbox at"):
        list(read_events(path))
    assert not path.exists()


def test_what_is_no_outbox(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(Unusable, match=r"cannot be read \(DatabaseError"):
        read_status(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (id)")
    with pytest.raises(Unusable, match="cannot be read: it is the database of another"):
        list(read_events(path))


def test_a_lock_whose_file_is_removed_meanwhile_is_taken_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock = fcntl.flock
    removed: list[bool] = []

    def slow_flock(descriptor: int, how: int) -> None:
        if not removed:  # its last holder is through with it just now
            removed.append(True)
            path.unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", slow_flock)
    lock = FileLock.acquire(path)
    assert lock is not None
    assert path.exists()
    assert FileLock.acquire(path) is None
    lock.remove()
    assert not path.exists()
    lock.close()  # once is enough


def test_a_lock_is_waited_for(path: Path) -> None:
    lock = FileLock.acquire(path)
    assert lock is not None
    begun = time.monotonic()
    assert FileLock.acquire(path, wait=0.1) is None
    assert time.monotonic() - begun >= 0.1
    del lock  # gives it up
    again = FileLock.acquire(path, wait=0.1)
    assert again is not None
    again.close()


def test_a_lock_that_the_system_refuses_leaves_nothing_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")  # as some network file systems do

    monkeypatch.setattr("fcntl.flock", flock)
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - of no folder on a disk
    for _ in range(5):
        with pytest.raises(OSError, match="No locks"):
            FileLock.acquire(path)
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208 - as above


@contextmanager
def as_nobody() -> Iterator[None]:
    """Have no more rights than others have."""
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be somebody else")
def test_a_copy_in_a_folder_that_is_read_only(
    make_outbox: MakeOutbox, path: Path, tmp_path: Path
) -> None:
    fill(make_outbox(), 2)
    folder = Path("/tmp") / f"{tmp_path.parent.parent.name}-{os.getpid()}-read-only"
    folder.mkdir()
    try:
        copy = folder / path.name
        with closing(sqlite3.connect(path)) as whole, closing(sqlite3.connect(copy)) as target:
            whole.backup(target)  # the log as well
        copy.chmod(0o444)
        folder.chmod(0o555)
        with as_nobody():
            assert [each.body for each in read_events(copy)] == [b"e1", b"e2"]
        folder.joinpath(f"{path.name}-wal").touch(0o600)  # there may be more of them in there
        with as_nobody(), pytest.raises(Unusable):
            list(read_events(copy))
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be somebody else")
def test_a_lock_of_another_user_may_be_held(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"{tmp_path.parent.parent.name}-{os.getpid()}-locks"
    folder.mkdir(0o755)
    try:
        lock = FileLock.acquire(folder / "lock")
        with as_nobody():
            assert is_locked(folder / "lock")
        assert lock is not None
        lock.close()
        with as_nobody():
            assert is_locked(folder / "lock")
        assert not is_locked(folder / "lock")
    finally:
        shutil.rmtree(folder)


def test_a_log_that_is_removed_meanwhile_has_no_size(path: Path) -> None:
    path.write_bytes(b"12345")
    assert reading._size(path) == 5
    assert reading._size(Path(f"{path}-wal")) == 0
