"""Processes that measure on demand, so that variants which cannot share a process take turns.

A worker reads a line of JSON, `[command, arguments …]`, and answers with another one; the
other side is `benchmarks.programs.answering`.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
PATIENCE = 900  # seconds for one answer


class Unavailable(Exception):
    """What was to be measured is not there; the text says why."""


class Worker:
    """Run a program of `benchmarks.programs`, and ask it.

    Raises:
        Unavailable: The program cannot measure what it was started for.
    """

    def __init__(
        self,
        program: str,
        *arguments: str,
        python: Path | str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name = " ".join((program, *arguments))
        self._process = subprocess.Popen(
            [str(python), "-m", f"benchmarks.programs.{program}", *arguments],
            cwd=ROOT,
            env={**_unobserved(), "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self._answer()
        if ready is not None:
            self.close()
            raise Unavailable(ready)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str, *arguments: Any) -> Any:
        """Let the program do something, and return what it answers."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the program, whose input ends."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> Any:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            self._process.kill()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} has ended with {self._process.wait(10)}")
        return json.loads(line)


def _unobserved() -> dict[str, str]:
    """Return the environment without what starts coverage: it would be measured too."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")
    }
