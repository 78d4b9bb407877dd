"""A wall clock that is put forward and back, in the processes under test alone.

The offset is in a file that those processes map into memory, so that all of them, forked
children included, see a step at once. `time.time` and `datetime.now` follow it; the monotonic
clock does not, as on a real machine. Code that asks the system itself (C extensions,
`time.localtime()` of now) sees the true time.
"""

from __future__ import annotations

import datetime as dt
import mmap
import struct
import time
from pathlib import Path

_OFFSET = struct.Struct("d")


class Clock:
    """Put the wall clock of other processes forward and back."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(_OFFSET.pack(0.0))
        self._file = path.open("r+b")
        self._mapped = mmap.mmap(self._file.fileno(), _OFFSET.size)

    def set(self, seconds: float) -> None:
        """Have them be some seconds off the truth."""
        _OFFSET.pack_into(self._mapped, 0, seconds)

    def close(self) -> None:
        self._mapped.close()
        self._file.close()


def follow(path: Path) -> None:
    """Have this process follow a clock; before anything has imported what it replaces."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), _OFFSET.size, access=mmap.ACCESS_READ)
    true_time, true_time_ns, true_datetime = time.time, time.time_ns, dt.datetime

    def offset() -> float:
        return float(_OFFSET.unpack_from(mapped)[0])

    class OfDatetime(type):
        """True moments are moments too."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, true_datetime)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, true_datetime)

    class Stepped(true_datetime, metaclass=OfDatetime):
        __slots__ = ()  # of the size that compiled modules expect

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:
            return true_datetime.now(tz) + dt.timedelta(seconds=offset())

        @classmethod
        def today(cls) -> dt.datetime:
            return cls.now()

        @classmethod
        def utcnow(cls) -> dt.datetime:
            return cls.now(dt.UTC).replace(tzinfo=None)

    time.time = lambda: true_time() + offset()
    time.time_ns = lambda: true_time_ns() + int(offset() * 1e9)
    Stepped.__name__ = Stepped.__qualname__ = "datetime"
    dt.datetime = Stepped
