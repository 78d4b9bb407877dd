"""Values out of an input's bytes, always the same ones."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Supply:
    """Take values from the front of the bytes; when they are used up, everything is zero."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Tell whether there are bytes left."""
        return self._at < len(self._data)

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def take(self, most: int) -> bytes:
        """Take up to so many bytes, as many as the next byte says."""
        length = self.byte() % (most + 1)
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken

    def rest(self) -> bytes:
        taken = self._data[self._at :]
        self._at = len(self._data)
        return taken

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.byte() % len(choices)]

    def text(self, most: int) -> str:
        """Take text of any kind: narrow, wide, and with lone surrogates."""
        kind = self.byte() % 4
        raw = self.take(most)
        if kind == 3:
            return raw.decode("utf-16-le", "surrogatepass" if len(raw) % 2 == 0 else "ignore")
        return raw.decode(("ascii", "latin-1", "utf-8")[kind], "surrogateescape")

    def number(self) -> float:
        raw = self.take(8).ljust(8, b"\0")
        return float(struct.unpack("<d", raw)[0])

    def integer(self) -> int:
        return int.from_bytes(self.take(12), "little", signed=True)
