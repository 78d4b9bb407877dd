"""The file of the durable outbox: every statement that this process runs on it.

It is not safe to use from two threads at once; `SqliteOutbox` sees to that. Any number of
processes may have it open. Each is an owner: it writes events under its own number, and
holds the lock of a small file beside the database for as long as it lives. Who gets the
lock of another owner's file knows that it is dead, and that nobody else looks after its
events.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from datalyr_core.outbox.locks import FileLock, available
from datalyr_core.outbox.schema import BeingOpened, Unusable, first_id, migrate

BUSY = 0.25  # seconds that a call of `track` waits at most while another process writes or opens
CLEARED = 500  # events that are deleted at once where there are many
TURN = 0.01  # seconds that others have between two such deletions
CHECKPOINT_AT = 1_000_000  # bytes of the log after which it is written back into the file
# A process whose sender cannot checkpoint must not let the log grow for ever.
_LAST_RESORT = 16_000  # pages

INSERT = "INSERT INTO events (id, at, body) VALUES (?, ?, ?)"
Row = tuple[int, float, bytes]


class OutboxFile:
    """Have the file open, from `open` until `close`."""

    def __init__(self, path: Path) -> None:
        """Begin closed."""
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    # Opening

    def open(self, *, wait: float = BUSY) -> sqlite3.Connection:
        """Open the file, make it where there is none, and bring its tables up to date.

        Args:
            wait: Seconds to wait at most while another process opens it.

        Raises:
            sqlite3.Error: SQLite cannot use it.
            OSError: The system cannot.
            Unusable: It is no outbox, or not one that this release knows.
        """
        if self._connection is None:
            with self._alone(wait):
                self._make()
                self._connection = self._connected()
                stat = self.path.stat()
                self._identity = (stat.st_dev, stat.st_ino)
        return self._connection

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def leave(self) -> sqlite3.Connection | None:
        """Return the connection, and forget it without closing it."""
        connection, self._connection = self._connection, None
        return connection

    def set_aside(self) -> Path | None:
        """Rename a file that is corrupt, unless another process has done so already.

        Returns:
            Its new name; None if the file is in order.
        """
        with self._alone(BUSY):
            if self._is_sound():
                return None
            kept = self.path.with_name(f"{self.path.name}.corrupt-{time.time_ns()}")
            for suffix in ("-wal", "-shm", ""):  # the log belongs to the file, not to the next
                part = Path(f"{self.path}{suffix}")
                if part.exists():
                    part.rename(f"{kept}{suffix}")
            return kept

    def is_current(self) -> bool:
        """Tell whether the opened file is still the one of its name."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return False
        return (stat.st_dev, stat.st_ino) == self._identity

    @contextmanager
    def _alone(self, wait: float) -> Iterator[None]:
        """Keep other processes from opening the file, or from setting it aside."""
        if not available():  # pragma: no cover - Windows
            raise Unusable("this system has no flock")
        lock = FileLock.acquire(Path(f"{self.path}-lock"), wait=wait)
        if lock is None:
            raise BeingOpened("another process has been opening it for too long")
        with closing(lock):
            yield

    def _make(self) -> None:
        """Make the file ourselves: SQLite would let everybody read it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with suppress(FileExistsError):
            os.close(os.open(self.path, flags, 0o600))

    def _connected(self) -> sqlite3.Connection:
        connection = _connect(self.path)
        try:
            connection.execute("PRAGMA page_size = 2048")  # of a new one; a write costs a page
            migrate(connection)
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise Unusable(f"its folder takes no write-ahead log (journal_mode is {mode})")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LAST_RESORT}")
            connection.execute("PRAGMA journal_size_limit = 0")  # a log that begins anew is short
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_sound(self) -> bool:
        if not self.path.exists():
            return True
        try:
            with closing(_connect(self.path)) as connection:
                answer: list[tuple[str]] = connection.execute("PRAGMA quick_check(1)").fetchall()
        except sqlite3.DatabaseError as error:
            return not is_corruption(error)
        return answer == [("ok",)]

    # Owners

    def register(self, sink: str, since: float) -> tuple[int, FileLock]:
        """Become an owner, and return its number and its lock.

        Args:
            sink: Where its events go.
            since: The time, by which `has_as_own` tells it from others.
        """
        with self._transaction() as connection:
            while True:
                added = connection.execute(
                    "INSERT INTO owners (sink, pid, since) VALUES (?, ?, ?)",
                    (sink, os.getpid(), since),
                )
                owner = int(added.lastrowid or 0)
                # Before anybody can see the owner: one without a lock is dead.
                lock = FileLock.acquire(lock_path(self.path, owner))
                if lock is not None:
                    return owner, lock
                # By one who has yet to notice that the file of before was moved away.
                connection.execute("DELETE FROM owners WHERE id = ?", (owner,))

    def knows(self, owner: int) -> bool:
        """Tell whether there is an owner of a number."""
        found = self.open().execute("SELECT 1 FROM owners WHERE id = ?", (owner,)).fetchone()
        return found is not None

    def has_as_own(self, owner: int, since: float) -> bool:
        """Tell whether an owner is the one that registered then, and not in another file."""
        found = self.open().execute(
            "SELECT 1 FROM owners WHERE id = ? AND since = ?", (owner, since)
        )
        return found.fetchone() is not None

    def owners(self, sink: str) -> list[int]:
        """Return the owners of events for a sink, the oldest first."""
        rows = self.open().execute("SELECT id FROM owners WHERE sink = ? ORDER BY id", (sink,))
        return [owner for (owner,) in rows]

    def claim(self, owner: int) -> FileLock | None:
        """Return the lock of an owner that is dead, and that nobody else has taken over."""
        try:
            lock = FileLock.acquire(lock_path(self.path, owner))
        except OSError:  # another user's, above all: nobody can tell whether it lives
            return None
        if lock is None:
            return None
        if not self.knows(owner):  # somebody else has just finished with it
            lock.remove()
            return None
        return lock

    def hold(self, owner: int, sink: str, since: float) -> FileLock | None:
        """Lock an owner's file anew, which somebody has removed while the owner lives.

        Returns:
            The lock; None while another process has it, who took the owner for dead.
        """
        lock = FileLock.acquire(lock_path(self.path, owner))
        if lock is not None:
            self.open().execute(
                "INSERT OR IGNORE INTO owners (id, sink, pid, since) VALUES (?, ?, ?, ?)",
                (owner, sink, os.getpid(), since),
            )
        return lock

    def remove(self, owner: int, lock: FileLock) -> None:
        """Forget an owner, unless it has events: it may live after all, and have put in more."""
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM owners WHERE id = ?"
                " AND NOT EXISTS (SELECT 1 FROM events WHERE id > ? AND id < ?)",
                (owner, first_id(owner), first_id(owner + 1)),
            )
        lock.remove()

    def publish(self, owner: int, events: int, size: int, trouble: str | None) -> None:
        """Tell other processes how much an owner has, and people why.

        Args:
            owner: The owner.
            events: How many events it has.
            size: How many bytes they are.
            trouble: Why the ingest takes none, empty where it does; None if nothing is known
                that is newer than what the file says.
        """
        self.open().execute(
            "UPDATE owners SET events = ?, bytes = ?, trouble = COALESCE(?, trouble) WHERE id = ?",
            (events, size, trouble, owner),
        )

    def others(self, own: Sequence[int]) -> tuple[int, int]:
        """Return how many events and bytes all owners have, without some of them."""
        rows = self.open().execute("SELECT id, events, bytes FROM owners").fetchall()
        others = [(events, size) for owner, events, size in rows if owner not in own]
        return sum(events for events, _ in others), sum(size for _, size in others)

    # Events

    def load(self, owner: int, after: int, count: int) -> list[Row]:
        """Return an owner's next events.

        Args:
            owner: The owner.
            after: The id after which they come.
            count: How many at most.
        """
        return (
            self.open()
            .execute(
                "SELECT id, at, body FROM events WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
                (after, first_id(owner + 1), count),
            )
            .fetchall()
        )

    def measure(self, owner: int) -> tuple[int, int]:
        """Return how many events and bytes an owner has; it reads them all."""
        events, size = (
            self.open()
            .execute(
                "SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0) FROM events"
                " WHERE id > ? AND id < ?",
                (first_id(owner), first_id(owner + 1)),
            )
            .fetchone()
        )
        return events, size

    def add(self, rows: Iterable[Row]) -> None:
        """Write some events, all or none."""
        with self._transaction() as connection:
            connection.executemany(INSERT, rows)

    def delete(self, ids: Iterable[int]) -> None:
        """Delete some events, all or none."""
        with self._transaction() as connection:
            connection.executemany("DELETE FROM events WHERE id = ?", [(each,) for each in ids])

    def clear(self, owner: int) -> None:
        """Delete an owner's events, some at a time: others write in between."""
        self.open().execute("PRAGMA busy_timeout = 10000")  # milliseconds; no request waits for it
        while self._delete_next(owner):
            time.sleep(TURN)

    def _delete_next(self, owner: int) -> int:
        """Delete an owner's next events, and return how many."""
        with self._transaction() as connection:
            return connection.execute(
                "DELETE FROM events WHERE id IN"
                " (SELECT id FROM events WHERE id > ? AND id < ? ORDER BY id LIMIT ?)",
                (first_id(owner), first_id(owner + 1), CLEARED),
            ).rowcount

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self.open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.rollback()
            raise


def checkpoint(path: Path) -> None:
    """Write the log back into the file if it is long; on a connection of its own.

    Nobody waits for it: others read and write meanwhile. The next writer begins the log anew.
    """
    try:
        if Path(f"{path}-wal").stat().st_size < CHECKPOINT_AT:
            return
    except FileNotFoundError:
        return
    with closing(_connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")


def lock_path(path: Path, owner: int) -> Path:
    """Return the name of an owner's lock."""
    return Path(f"{path}-owner-{owner}")


def is_corruption(error: BaseException) -> bool:
    """Tell whether an error says that the file is damaged."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    # What was committed survives the end of every process; a loss of power may take the last.
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection
