"""What a durable outbox holds, for people: nothing here changes the file or takes an event.

It may be read while any number of processes use it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from datalyr_core.event import Event
from datalyr_core.outbox.locks import is_locked
from datalyr_core.outbox.schema import MIGRATIONS, Unusable, first_id, owner_of, version_of
from datalyr_core.outbox.sqlite_file import lock_path

BATCH = 500  # events that are read at once
WAIT = 5.0  # seconds to wait for a process that has locked the whole file


@dataclass(frozen=True, slots=True)
class OwnerStatus:
    """Tell what one process has in the outbox.

    Attributes:
        owner: Its number in the file.
        pid: Its process id, in the container where it runs.
        since: When it opened the outbox, in seconds since the epoch.
        alive: Whether it lives, or another has taken its events over; they are waiting for
            a process to come otherwise.
        sink: Where its events go; see `outbox.choice.sink_of`.
        events: How many wait.
        size: How many bytes they are.
        oldest: When the oldest was accepted, in seconds since the epoch; None if none waits.
        trouble: Why the ingest took nothing when it was last asked; empty where it did, or was
            not asked. A process notes it every few seconds, and when it ends.
    """

    owner: int
    pid: int
    since: float
    alive: bool
    sink: str
    events: int
    size: int
    oldest: float | None
    trouble: str


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """Tell what an outbox holds.

    Attributes:
        path: The file.
        version: Of its tables.
        file_size: The bytes of the file and its log.
        owners: Those who have events, and those who live, the oldest first.
    """

    path: Path
    version: int
    file_size: int
    owners: tuple[OwnerStatus, ...]

    @property
    def events(self) -> int:
        """Return how many events wait."""
        return sum(owner.events for owner in self.owners)

    @property
    def size(self) -> int:
        """Return how many bytes they are."""
        return sum(owner.size for owner in self.owners)

    @property
    def oldest(self) -> float | None:
        """Return when the oldest was accepted, in seconds since the epoch, or None."""
        return min((own.oldest for own in self.owners if own.oldest is not None), default=None)


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """Hold an event that waits.

    Attributes:
        id: Its id in the file; higher is later among those of one owner.
        owner: The number of its owner.
        accepted_at: When it was accepted, in seconds since the epoch.
        body: What will be sent, as JSON.
    """

    id: int
    owner: int
    accepted_at: float
    body: bytes

    @property
    def event(self) -> Event:
        """Return the event as hooks see it."""
        return Event.from_body(self.body)


def read_status(path: Path) -> OutboxStatus:
    """Return what an outbox holds.

    Raises:
        Unusable: There is none, or it cannot be read.
    """
    with _reader(path) as connection:
        owners = connection.execute("SELECT id, pid, since, sink, trouble FROM owners ORDER BY id")
        told = [_owner_status(connection, path, *row) for row in owners.fetchall()]
        version = version_of(connection)
    size = _size(path) + _size(Path(f"{path}-wal"))
    return OutboxStatus(
        path, version, size, tuple(owner for owner in told if owner.events or owner.alive)
    )


def read_events(path: Path, owner: int | None = None) -> Iterator[WaitingEvent]:
    """Return what waits, an owner after the other, each in order.

    It reads a few at a time: what is delivered meanwhile may come or not.

    Args:
        path: The file.
        owner: Only those of this owner; of all by default.

    Raises:
        Unusable: There is none, or it cannot be read.
    """
    after, end = (0, 2**63 - 1) if owner is None else (first_id(owner), first_id(owner + 1))
    with _reader(path) as connection:
        while rows := connection.execute(
            "SELECT id, at, body FROM events WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
            (after, end, BATCH),
        ).fetchall():
            for after, at, body in rows:
                yield WaitingEvent(after, owner_of(after), at, body)


def _owner_status(
    connection: sqlite3.Connection,
    path: Path,
    owner: int,
    pid: int,
    since: float,
    sink: str,
    trouble: str,
) -> OwnerStatus:
    events, size, oldest = connection.execute(
        "SELECT COUNT(*), COALESCE(SUM(LENGTH(body)), 0), MIN(at) FROM events"
        " WHERE id > ? AND id < ?",
        (first_id(owner), first_id(owner + 1)),
    ).fetchone()
    alive = is_locked(lock_path(path, owner))
    return OwnerStatus(owner, pid, since, alive, sink, events, size, oldest, trouble)


def _size(path: Path) -> int:
    """Return a file's bytes; the log is removed by the last process that closes the outbox."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _opened(path: Path) -> sqlite3.Connection:
    """Open a file for reading."""
    url = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(url, uri=True, timeout=WAIT)
    try:
        version_of(connection)
    except BaseException as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError):
            raise
        # SQLite wants to make a log beside it, and this may be a copy in a folder that is
        # read-only. Where there is a log, it holds events, and nothing can be said without it.
        if Path(f"{path}-wal").exists() or os.access(path.parent, os.W_OK):
            raise
        connection = sqlite3.connect(f"{url}&immutable=1", uri=True)
    return connection


@contextmanager
def _reader(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise Unusable(f"there is no outbox at {path}")
    try:
        with closing(_opened(path)) as connection:
            if version_of(connection) < len(MIGRATIONS):
                raise Unusable("it is of an older release; a process that tracks brings it up")
            yield connection
    except Unusable as problem:
        raise Unusable(f"{path} cannot be read: {problem}") from None
    except (sqlite3.Error, OSError) as error:
        raise Unusable(f"{path} cannot be read ({type(error).__name__}: {error})") from None
