"""One shop as a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx

from scripts._demo.waiting import DemoError

ENDING = 20.0  # seconds that a server may take to end gracefully


class Child:
    """A server that serves one shop."""

    def __init__(
        self, name: str, url: str, command: Sequence[str], folder: Path, env: Mapping[str, str]
    ) -> None:
        self.name, self.url = name, url
        # In a session of its own: Ctrl+C at a terminal reaches a whole process group at
        # once, and the order in which things end is what loses nothing.
        self._process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def answers(self) -> bool:
        """Tell whether it serves; asks for a page that is not there, so that nothing is tracked."""
        self.must_live()
        try:
            httpx.get(f"{self.url}/ready", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    def must_live(self) -> None:
        """Raise when the server has ended by itself."""
        code = self._process.poll()
        if code is not None:
            said = "what it said is above"
            raise DemoError(f"the {self.name} shop ended by itself (exit {code}); {said}")

    def ask_to_end(self) -> None:
        """Send SIGTERM, on which servers finish what they are doing."""
        if self._process.poll() is None:
            self._process.terminate()

    def end(self) -> None:
        """Wait until it has ended; raise if it must be forced."""
        self.ask_to_end()
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its workers too
            self._process.wait()
            raise DemoError(f"the {self.name} shop did not end in {ENDING:g} seconds") from None
