"""What the applications of the exit matrix accepted, in one file for all their processes."""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

# Without the plugin the same applications answer ids of their own: for the time that it takes.
PLAIN = bool(os.environ.get("EXIT_MATRIX_PLAIN"))
if PLAIN:  # an end is compared, not the time to import a library, which a reload includes
    import_module("datalyr_core.delivery.http")


class Line(NamedTuple):
    """One event that was accepted: where, and when on the system's monotonic clock."""

    event_id: str
    kind: str
    pid: int
    at: float


_opened: dict[int, int] = {}  # descriptors by process


def note(event_id: str | None, kind: str = "load") -> str:
    """Write down that an event was accepted, at once, and return its id."""
    if event_id is None:
        return ""
    pid = os.getpid()
    if pid not in _opened:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        _opened[pid] = os.open(os.environ["EXIT_MATRIX_LEDGER"], flags, 0o600)
    # One write each: several processes share the file.
    os.write(_opened[pid], f"{event_id} {kind} {pid} {time.monotonic()!r}\n".encode())
    return event_id


def told_to_go_on() -> bool:
    """Tell whether the end of the server has begun: what a slow view waits for."""
    return Path(f"{os.environ['EXIT_MATRIX_LEDGER']}.go").exists()


def plain_id() -> str:
    """Make the id that an application answers without the plugin."""
    return str(uuid4())


def read(path: Path) -> list[Line]:
    """Read a ledger; what is written this very moment is left for the next time."""
    text = path.read_text() if path.exists() else ""
    lines = (line.split() for line in text[: text.rfind("\n") + 1].splitlines())
    return [Line(event_id, kind, int(pid), float(at)) for event_id, kind, pid, at in lines]
