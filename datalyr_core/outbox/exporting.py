"""Events out of a durable outbox into a file, and for good if that is wanted.

An event of a living process cannot be taken: that process has it in memory as well, and
sends it. What dead processes left is claimed as a living one would, so that nobody else
sends or claims it meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from datalyr_core.outbox.locks import FileLock
from datalyr_core.outbox.reading import read_events, read_status
from datalyr_core.outbox.sqlite_file import OutboxFile


def export(path: Path, stream: BinaryIO) -> int:
    """Write every event that waits as a line of JSON, and change nothing.

    Args:
        path: The outbox.
        stream: Where the lines go.

    Returns:
        How many there are.

    Raises:
        Unusable: There is no outbox, or it cannot be read.
        OSError: The lines cannot be written.
    """
    return _write(path, None, stream)


class Claim:
    """Hold what dead processes left in an outbox, until it is removed or let go."""

    def __init__(self, path: Path, file: OutboxFile, owners: dict[int, FileLock]) -> None:
        """Take charge of owners whose locks are held."""
        self._path = path
        self._file = file
        self._owners = owners

    def export(self, stream: BinaryIO) -> int:
        """Do as `export`, with what is claimed alone."""
        return sum(_write(self._path, owner, stream) for owner in self._owners)

    def remove(self) -> None:
        """Remove it from the outbox.

        Raises:
            sqlite3.Error: It cannot be removed; what could be is gone.
        """
        for owner in list(self._owners):
            self._file.clear(owner)
            self._file.remove(owner, self._owners.pop(owner))

    def let_go(self) -> None:
        """Leave to others what was not removed."""
        while self._owners:
            _, lock = self._owners.popitem()
            lock.close()


@contextmanager
def claimed(path: Path) -> Iterator[Claim]:
    """Claim what dead processes left in an outbox, of all keys.

    Raises:
        Unusable: There is no outbox, or it cannot be used.
        sqlite3.Error: It cannot be opened for writing.
    """
    owners = [owner.owner for owner in read_status(path).owners if not owner.alive]
    file = OutboxFile(path)
    claim = Claim(path, file, {})
    try:
        held = {owner: file.claim(owner) for owner in owners}
        claim = Claim(path, file, {owner: lock for owner, lock in held.items() if lock})
        yield claim
    finally:
        claim.let_go()
        file.close()


def _write(path: Path, owner: int | None, stream: BinaryIO) -> int:
    count = 0
    for count, waiting in enumerate(read_events(path, owner), 1):  # noqa: B007 - the last one
        stream.write(waiting.body + b"\n")
    return count
