"""Files of other versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from datalyr_core.outbox import reading, schema
from datalyr_core.outbox.reading import read_status
from datalyr_core.outbox.schema import APPLICATION_ID, MIGRATIONS, Unusable, migrate, version_of
from tests.outbox.conftest import MakeOutbox
from tests.outbox.test_sqlite import drained, fill

LATER = (*MIGRATIONS, ("ALTER TABLE events ADD COLUMN note TEXT",))


@pytest.fixture
def connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_an_empty_file_becomes_one_of_today(connection: sqlite3.Connection) -> None:
    assert version_of(connection) == 0
    migrate(connection)
    migrate(connection)
    assert version_of(connection) == len(MIGRATIONS)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_an_older_file_is_brought_up_and_keeps_its_events(
    make_outbox: MakeOutbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = make_outbox()
    fill(older, 3)
    older.abandon()
    monkeypatch.setattr(schema, "MIGRATIONS", LATER)
    monkeypatch.setattr(reading, "MIGRATIONS", LATER)
    with pytest.raises(Unusable, match="of an older release"):
        read_status(path)

    outbox = make_outbox()
    assert outbox.take_over()
    assert list(drained(outbox)) == [b"e1", b"e2", b"e3"]
    assert read_status(path).version == len(LATER)


def test_a_migration_that_fails_changes_nothing(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(connection)
    monkeypatch.setattr(schema, "MIGRATIONS", (*LATER, ("this is no SQL",)))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection)
    assert version_of(connection) == len(MIGRATIONS)
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(events)")]
    assert columns == ["id", "at", "body"]


def test_processes_of_two_releases_at_once(
    make_outbox: MakeOutbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has the file open goes on when a newer one has brought it up."""
    old = make_outbox()
    fill(old, 1)
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", LATER)
        new = make_outbox()
        fill(new, 1, "f")
    fill(old, 1, "g")
    assert list(drained(old)) == [b"e1", b"g1"]
    assert list(drained(new)) == [b"f1"]
