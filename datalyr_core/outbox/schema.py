"""The tables of the durable outbox, and how an older file becomes one of today."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

APPLICATION_ID = 0x446C7972  # "Dlyr": tells our files from other applications' databases

# Each step takes a file from the version that is its place in the list to the next one.
MIGRATIONS: Sequence[Sequence[str]] = (
    (
        # An id is never given out twice: a process that looks for a dead owner must not
        # meet a new one under its name.
        """CREATE TABLE owners (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            sink TEXT NOT NULL,
            pid INTEGER NOT NULL,
            since REAL NOT NULL,
            events INTEGER NOT NULL DEFAULT 0,
            bytes INTEGER NOT NULL DEFAULT 0,
            trouble TEXT NOT NULL DEFAULT ''
        )""",
        # The upper bits of an id are the owner's: its events are one range, in order, which
        # needs no index that every insert would have to write.
        """CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            body BLOB NOT NULL
        )""",
    ),
)
SEQUENCE_BITS = 36  # of an event's id: how many events one owner can have in its life


class Unusable(Exception):
    """Say why a file that is in order cannot be the outbox."""


class BeingOpened(Unusable):
    """Say that another process is about to open the file, as many do when a server starts."""


def first_id(owner: int) -> int:
    """Return the id before an owner's first event."""
    return owner << SEQUENCE_BITS


def owner_of(event: int) -> int:
    """Return the owner of the event with an id."""
    return event >> SEQUENCE_BITS


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of a file; 0 of an empty one.

    Raises:
        Unusable: It is another application's database, or of a later release.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise Unusable("it is the database of another application")
    if version > len(MIGRATIONS):
        raise Unusable(
            f"it has version {version} of the outbox's tables and this release knows "
            f"{len(MIGRATIONS)}; install the release that made it, or name another file"
        )
    return int(version)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to today's version; the caller keeps other processes away.

    Raises:
        Unusable: As `version_of`.
    """
    version = version_of(connection)
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        for step in MIGRATIONS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise
