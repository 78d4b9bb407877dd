"""What a row of the matrix is, and the verdict on it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from tests.live.exit_matrix.stage import Ending, Stage

LONGER = 1.0  # seconds that an exit may take longer than it does without the plugin


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arrangement and one way it ends.

    Attributes:
        arrangement: What runs, as "gunicorn gthread, 3 workers, Flask".
        end: How it ends, as "SIGTERM".
        play: Runs it on a stage to its end.
        needs: Modules, commands and `$VARIABLES` without which it is skipped.
        compared: Whether it is also played without the plugin, for the time and the status.
        late: Whether the end lets running requests track: some event has to come after it began.
        allowance: Seconds that it may take longer than without the plugin, for a reason.
        longest: Seconds that the end may take where there is nothing to compare it with.
        crash: What a crash is allowed to lose, in words. Its events may arrive twice.
        lossy: Why nothing can be done about losses, in words; they are shown all the same.
        locks: Why the server may not end at all, with and without the plugin, in words. It is
            killed then, and that is a crash.
        logged: What the log has to say.
        slow: Whether it is left out unless `--slow` asks for it.
        ci: Whether the test suite plays it too; there are a few more, which it names.
    """

    arrangement: str
    end: str
    play: Callable[[Stage], Ending]
    needs: tuple[str, ...] = ()
    compared: bool = False
    late: bool = False
    allowance: float = LONGER
    longest: float = 20.0
    crash: str = ""
    lossy: str = ""
    locks: str = ""
    logged: str = ""
    slow: bool = False
    ci: bool = False

    @property
    def name(self) -> str:
        return f"{self.arrangement} - {self.end}"

    def missing(self) -> list[str]:
        """Name what is needed and not there."""
        return [need for need in self.needs if not _is_there(need)]


def _is_there(need: str) -> bool:
    if need.startswith("$"):
        return bool(os.environ.get(need[1:]))
    return find_spec(need) is not None or command(need) is not None


def command(name: str) -> str | None:
    """Find a command, first beside the interpreter that runs this."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a row."""

    row: Row
    accepted: int
    late: int
    delivered: int
    twice: int
    lost: int  # accepted and not delivered, without those that the row's crash excuses
    ending: Ending
    plain: Ending | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Say everything that is wrong; nothing if the row is good."""
        row, found = self.row, list(self.notes)
        if self.is_locked and row.locks:
            return found
        if self.is_locked:
            found.append("does not end")
        if not self.accepted:
            found.append("nothing was tracked")
        if self.lost and not row.lossy:
            found.append(f"{self.lost} LOST")
        if self.twice and not row.crash:
            found.append(f"{self.twice} TWICE")
        if row.late and not self.late:
            found.append("nothing was tracked during the end")
        return found + self._against_plain()

    @property
    def is_locked(self) -> bool:
        """Tell whether it did not end, and had to be killed."""
        return self.ending.status is None

    @property
    def took_too_long(self) -> bool:
        """Tell whether it took longer than it did without the plugin, and more than allowed."""
        plain = self.plain
        return bool(plain) and self.ending.seconds > plain.seconds + self.row.allowance

    def _against_plain(self) -> list[str]:
        took, plain = self.ending.seconds, self.plain
        if plain is None:
            return [f"took over {self.row.longest:g} s"] if took > self.row.longest else []
        found = []
        if self.took_too_long:
            found.append(f"took {took - plain.seconds:.1f} s longer")
        if self.ending.status != plain.status and plain.status is not None:
            found.append(f"status {self.ending.status}, without the plugin {plain.status}")
        return found
