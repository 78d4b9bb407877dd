"""What the applications accepted and what they were told was dropped, as they saw it.

Every process appends to a file of its own, an event a line, before it answers. So the count
owes nothing to the product, and a process that is killed may tear its own last line only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from datalyr_core import Event

FOLDER, ROLE = "SOAK_LEDGER", "SOAK_ROLE"  # environment


class Line(NamedTuple):
    """One thing that a process noted, at a time on the system's monotonic clock.

    `what` is for each kind:
        "began": the process's role.
        "tracking": an event's token, its visitor, its user and whether they have opted out,
            just before it is tracked.
        "accepted": its token and its event id.
        "refused": its token; `track` returned None.
        "dropped": its token and the reason, as `on_drop` has it.
        "forked": the child's process id.
        "ended": the child's process id, and its exit status.
        "stats": the client's own counts.
    """

    kind: str
    pid: int
    at: float
    what: list[Any]


_tracking: ContextVar[str] = ContextVar("soak_tracking", default="")
_opened: dict[int, int] = {}  # descriptors by process


def note(kind: str, *what: object) -> None:
    """Write a line, at once."""
    pid = os.getpid()
    if pid not in _opened:
        path = Path(os.environ[FOLDER], f"{pid}.jsonl")
        _opened[pid] = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    line = json.dumps([kind, pid, time.monotonic(), what])
    os.write(_opened[pid], f"{line}\n".encode())


def began() -> None:
    """Note that this process runs an application."""
    role = os.environ[ROLE]
    note("began", role)
    Path(os.environ[FOLDER], f"{role}.{os.getpid()}").touch()  # to be found without reading


def tracking(token: str, visitor: str, user: str, *, opted_out: bool = False) -> None:
    """Note that an event is about to be tracked."""
    _tracking.set(token)
    note("tracking", token, visitor, user, opted_out)


def on_drop(events: Sequence[Event], reason: str) -> None:
    """Note what is given up; the hook of every client.

    Of a visitor who has opted out it hears no more than the event's name.
    """
    for event in events:
        note("dropped", event.properties.get("token") or _tracking.get(), str(reason))


class Ledger:
    """Read what was noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def lines(self) -> list[Line]:
        """Read everything, in the order of time."""
        return sorted(self._lines(), key=lambda line: line.at)

    def workers(self, role: str) -> list[int]:
        """List the processes of a role that have begun and still live, the oldest first."""
        begun = sorted(self.folder.glob(f"{role}.*"), key=lambda path: path.stat().st_mtime_ns)
        return [pid for path in begun if is_alive(pid := int(path.suffix[1:]))]

    def _lines(self) -> Iterator[Line]:
        for path in self.folder.glob("*.jsonl"):
            whole, _, _torn = path.read_text().rpartition("\n")
            yield from (Line(*json.loads(text)) for text in whole.splitlines())


def is_alive(pid: int) -> bool:
    """Tell whether a process lives; one that nobody has waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
