"""The rejected rows, written as they were, so that they can be mended and imported."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from datalyr_core.importing.rows import Halt


class Rejects:
    """Write rows to a file, if there is to be one."""

    def __init__(
        self, path: str | None = None, *, size: int | None = None, head: bytes = b""
    ) -> None:
        """Open the file; what a run that crashed wrote beyond its state is taken back.

        Args:
            path: Where to; nowhere by default.
            size: How long the file was by the state of the import; None for a new one.
            head: What it begins with: the header of a CSV file.

        Raises:
            Halt: The file holds something else, or cannot be written.
        """
        self._file: BinaryIO | None = None
        if path is None:
            return
        there = Path(path).stat().st_size if Path(path).exists() else 0
        if size is None and there:
            raise Halt(f"{path} is there already; name another with --rejects")
        size = size or 0
        if there < size:
            raise Halt(f"{path} lacks rows that were rejected before; remove the state as well")
        try:
            self._file = Path(path).open("ab")  # noqa: SIM115 - see `close`
            if there > size:
                self._file.truncate(size)
        except OSError as error:
            raise Halt(f"cannot write {path}: {error.strerror}") from error
        if size == 0:
            self.write(head)

    @property
    def size(self) -> int:
        """Return how long the file is."""
        return self._file.tell() if self._file else 0

    def write(self, raw: bytes) -> None:
        """Write a row, with an end of its line."""
        if self._file and raw:
            self._file.write(raw if raw.endswith(b"\n") else raw + b"\n")

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            Halt: It cannot be written.
        """
        try:
            if self._file:
                self._file.flush()
        except OSError as error:
            raise Halt(f"cannot write the rejected rows: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file:
            with suppress(OSError):  # said by the flush before
                self._file.close()
