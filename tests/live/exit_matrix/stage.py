"""What a row plays on: an ingest, a ledger of what was accepted, and processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from datalyr_core.inspector.server import running
from datalyr_core.inspector.store import Store
from tests.live.apps.ledger import Line, read

DEADLINE = 60.0  # seconds, of everything that is waited for
PATIENCE = 30.0  # seconds, with a process that is to end and may have locked itself up
CAPACITY = 10_000  # events that the ingest remembers


@dataclass(frozen=True)
class Ending:
    """How it ended.

    Attributes:
        seconds: From the beginning of the end to its end.
        status: The exit status, negative for a signal.
        began: When the end began, on the monotonic clock.
        excused: Processes that crashed; what they accepted after `settled` may be lost.
        settled: When everything that had been accepted was last known to be delivered.
    """

    seconds: float
    status: int | None
    began: float
    excused: frozenset[int] = frozenset()
    settled: float = 0.0


class Stage:
    """Start processes whose clients send to one ingest, and see what they accept.

    Attributes:
        folder: A directory of this row's own, the first on its processes' import path.
        plain: Whether the plugin is left out.
        track_url: Where events are sent.
    """

    def __init__(self, folder: Path, inspector: str, *, plain: bool) -> None:
        self.folder, self.plain = folder, plain
        self.track_url = f"{inspector}/track"
        self._inspector = inspector
        self._log, self._ledger = folder / "log", folder / "ledger"
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **options: object) -> subprocess.Popen[bytes]:
        """Start a Python program.

        Args:
            *command: What follows the interpreter, as "-m", "gunicorn", …; or a whole
                command, if its first word is a path.
            **options: Further options of its client.
        """
        whole = command if command[0].startswith("/") else (sys.executable, *command)
        with self._log.open("ab") as log:
            child = subprocess.Popen(
                whole,
                env=self._environment(options),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def _environment(self, options: dict[str, object]) -> dict[str, str]:
        given = {"api_key": "dk_live", "host": self.track_url, "exit_timeout": 5, **options}
        path = [str(self.folder), str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
        return {
            **os.environ,
            **{f"DATALYR_{name.upper()}": str(value) for name, value in given.items()},
            "EXIT_MATRIX_LEDGER": str(self._ledger),
            "EXIT_MATRIX_PLAIN": "1" if self.plain else "",
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONFAULTHANDLER": "1",
        }

    def ledger(self) -> list[Line]:
        """Read what was accepted so far: a line an event, also without the plugin."""
        return read(self._ledger)

    def let_go_on(self) -> None:
        """Let the slow views go on, now that the end has begun."""
        self._ledger.with_suffix(".go").touch()

    def log(self) -> str:
        """Read what the processes have written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def delivered(self) -> Counter[str]:
        """Count what the ingest has, by event id."""
        reply = httpx.get(f"{self._inspector}/api/events", timeout=30)
        return Counter(view["event"]["eventId"] for view in reply.json()["events"])

    def fault(self, **fault: Any) -> None:
        """Give the ingest a fault, as its page does."""
        httpx.put(f"{self._inspector}/api/faults", json=fault, timeout=30).raise_for_status()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for something, within a generous time."""
        deadline = time.monotonic() + DEADLINE
        while not (result := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {DEADLINE:g} s until {what}\n{self.log()[-2000:]}")
            time.sleep(0.02)  # between two looks at the condition
        return result

    def settle(self, *, but: frozenset[int] = frozenset()) -> float:
        """Wait until all that was accepted is delivered; returns since when it is.

        Args:
            but: Processes whose events are not waited for.
        """
        began = time.monotonic()
        accepted = {line.event_id for line in self.ledger() if line.pid not in but}
        if not self.plain:
            self.until(lambda: accepted <= self.delivered().keys(), "all is delivered")
        return began

    def end(self, child: subprocess.Popen[bytes], signum: int | None, **more: Any) -> Ending:
        """Wait for the end of a process, which a signal may ask for."""
        began = time.monotonic()
        if signum is not None:
            child.send_signal(signum)
        return self.wait(child, began, **more)

    def wait(self, child: subprocess.Popen[bytes], began: float, **more: Any) -> Ending:
        """Wait for the end of a process that has begun to end."""
        try:
            status: int | None = child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            status = None
        return Ending(time.monotonic() - began, status, began, **more)

    def stop(self) -> None:
        """Kill what is left, by process group."""
        for child in self._children:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextmanager
def stage(folder: Path, *, plain: bool) -> Iterator[Stage]:
    """Set a stage in a new directory, and clear it afterwards."""
    folder.mkdir(parents=True)
    with running(store=Store(max_events=CAPACITY)) as inspector:
        made = Stage(folder, inspector.url, plain=plain)
        try:
            yield made
        finally:
            made.stop()


def free_port() -> int:
    """Find a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
