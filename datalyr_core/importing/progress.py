"""Progress: a line on a terminal that is drawn over and over; nothing anywhere else."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

_WIDTH = 24  # of the bar, in characters
_ERASE = "\r\x1b[K"


class Progress:
    """Show how far it is, how fast it goes and how long it will take."""

    def __init__(self, stream: TextIO, size: int | None, unit: str = "rows") -> None:
        """Begin.

        Args:
            stream: Where to show it; standard error.
            size: The size of the whole, if it is known.
            unit: What is counted.
        """
        self._stream = stream
        self._size = size
        self._unit = unit
        self._shows = stream.isatty()
        self._begun = time.monotonic()
        self._start: int | None = None

    def draw(self, rows: int, position: int) -> None:
        """Draw the line.

        Args:
            rows: How many rows, or whatever the unit is, were handled in this run.
            position: How far in the whole it is.
        """
        if not self._shows:
            return
        if self._start is None:  # where an earlier run came to is behind us
            self._start = position
        passed = max(time.monotonic() - self._begun, 0.001)
        told = f"{rows:,} {self._unit}  {rows / passed:,.0f}/s"
        if self._size:
            told = f"{self._bar(position / self._size)}  {told}{self._left(position, passed)}"
        width = shutil.get_terminal_size().columns - 1
        self._write(_ERASE + told[:width])

    def say(self, message: str) -> None:
        """Print a line of its own; the bar comes back with the next drawing."""
        self.erase()
        self._write(f"{message}\n")

    def erase(self) -> None:
        """Take the line away."""
        if self._shows:
            self._write(_ERASE)

    def _bar(self, share: float) -> str:
        full = round(_WIDTH * min(share, 1.0))
        return f"{'█' * full}{'░' * (_WIDTH - full)} {100 * min(share, 1.0):3.0f} %"

    def _left(self, position: int, passed: float) -> str:
        done = position - (self._start or 0)
        if done <= 0 or not self._size:
            return ""
        seconds = round((self._size - position) * passed / done)
        return f"  {seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} left"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
