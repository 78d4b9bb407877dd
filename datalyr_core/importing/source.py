"""The source: lines of a file or of standard input, decompressed and fingerprinted."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Self, cast

from datalyr_core.importing.rows import Halt

STDIN = "-"
MAX_LINE = 1_048_576  # bytes; memory stays bounded also where a file has no line ends at all
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one line, without a byte order mark; cut where it is too long."""

    number: int
    raw: bytes
    mark: str
    too_long: bool


class Source:
    """Read lines."""

    def __init__(self, path: str) -> None:
        """Open a file.

        Args:
            path: Its path, or `-` for standard input.

        Raises:
            Halt: It cannot be opened.
        """
        self.name = path
        try:
            # Standard input's own object would be locked by a read that never ends.
            self._file = (
                open(0, "rb", closefd=False) if path == STDIN else open(path, "rb")  # noqa: PTH123, SIM115 - see `__exit__`
            )
        except OSError as error:
            raise Halt(f"cannot read {path}: {error.strerror}") from error
        status = os.fstat(self._file.fileno())
        self.size = status.st_size if stat.S_ISREG(status.st_mode) else None

    def __enter__(self) -> Self:
        """Return the source."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; not standard input, which a thread may be waiting for."""
        if self.name != STDIN:
            self._file.close()

    @property
    def position(self) -> int:
        """Return how many bytes of a file of known size were read."""
        return self._file.tell()

    def beginning(self) -> bytes:
        """Look at the first bytes that are not blank, without taking them.

        Raises:
            Halt: It cannot be read.
        """
        with _told(self):
            begins_compressed = self._file.peek(2).startswith(_GZIP)
            if not begins_compressed:
                return self._file.peek(512).removeprefix(_BOM).lstrip()
            # A decompressor of its own: the file stays where it is.
            data = zlib.decompressobj(wbits=31).decompress(self._file.peek(512), 512)
            return data.removeprefix(_BOM).lstrip()

    def lines(self) -> Iterator[Line]:
        """Return the lines, in order; each mark depends on all before it.

        Raises:
            Halt: The rest cannot be read.
        """
        stream: BinaryIO = self._file
        with _told(self):
            if self._file.peek(2).startswith(_GZIP):
                stream = cast("BinaryIO", gzip.GzipFile(fileobj=self._file))
        mark = b""
        number = 0
        while raw := self._line(stream):
            number += 1
            too_long = len(raw) > MAX_LINE
            digest = hashlib.sha256(mark + raw.rstrip(b"\r\n"))
            while too_long and raw[-1:] != b"\n" and (more := self._line(stream)):
                digest.update(more.rstrip(b"\r\n"))
                raw = raw[:MAX_LINE] + more[-1:]
            mark = digest.digest()[:16]
            yield Line(number, raw.removeprefix(_BOM) if number == 1 else raw, mark.hex(), too_long)

    def _line(self, stream: BinaryIO) -> bytes:
        with _told(self):
            return stream.readline(MAX_LINE + 1)


class _told:  # noqa: N801 - reads as a verb
    """Turn what reading raises into `Halt`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError | EOFError | zlib.error):
            raise Halt(f"cannot read {self._source.name} to its end: {error}") from error
