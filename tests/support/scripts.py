"""Programs in processes of their own, for what happens when a process begins, forks and ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    out: str
    err: str
    took: float  # seconds


class Scripts:
    """Run the source of a program as `python script.py`, with the client's options as variables."""

    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder
        self._host = host
        self._count = 0

    def run(self, source: str, *, python: str = sys.executable, **options: object) -> Ended:
        """Run a program to its end."""
        begun = time.monotonic()
        with self.started(source, python=python, **options) as process:
            out, err = process.communicate(timeout=40)
        return Ended(process.returncode, out, err, time.monotonic() - begun)

    @contextmanager
    def started(
        self, source: str, *, python: str = sys.executable, **options: object
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a program; what still runs at the end of the block is killed."""
        process = subprocess.Popen(
            [python, self._written(source)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment(options),
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def _written(self, source: str) -> Path:
        self._count += 1
        path = self._folder / f"script_{self._count}.py"
        path.write_text(textwrap.dedent(source))
        return path

    def _environment(self, options: Mapping[str, object]) -> dict[str, str]:
        given = {"host": self._host, "api_key": "dk_test", **options}
        variables = {f"DATALYR_{name.upper()}": str(value) for name, value in given.items()}
        # Python 3.12 and later warn of what some of these programs are there to do.
        quiet = "ignore:This process:DeprecationWarning"
        return {**os.environ, "PYTHONWARNINGS": quiet, "PYTHONFAULTHANDLER": "1", **variables}
