"""Processes of a soak: started, found and ended by their own ids."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from tests.live.soak.ledger import FOLDER, is_alive

END = 60.0  # seconds in which a process ends that was asked to


class Processes:
    """Start Python programs in one environment, and leave none of them behind."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.log = folder / "log"
        self._environment = environment
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, role: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program.

        Args:
            role: What the ledger calls its processes.
            *command: What follows the interpreter.
        """
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, **self._environment, "SOAK_ROLE": role},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl+C is the soak's alone
            )
        self._started.append(child)
        return child

    def left(self) -> list[int]:
        """List the processes that live, also those that the programs have started."""
        return list(self._left())

    def kill_all(self) -> None:
        """Kill what is left, also what its own parents have left behind."""
        deadline = time.monotonic() + END
        while (left := self.left()) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for child in self._started:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(1 if child.pid in left else 0)

    def _left(self) -> Iterator[int]:
        """Find them by the folder in their environment, which is no other soak's."""
        mark = f"{FOLDER}={self._environment[FOLDER]}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # somebody else's, or gone meanwhile
                pid = int(path.parent.name)
                if mark in path.read_bytes().split(b"\0") and is_alive(pid):
                    yield pid


def joined(child: subprocess.Popen[bytes], seconds: float = END) -> int | None:
    """Wait for a program's end; None if it does not come."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
