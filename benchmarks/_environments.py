"""Environments beside the one that runs the benchmarks: `.benchmarks/`, made on demand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks._workers import ROOT

FOLDER = ROOT / ".benchmarks"
PATIENCE = 300  # seconds for one installation
_VERSION = "import platform; print(platform.python_implementation(), platform.python_version())"
_VERSIONS = """
import json, sys
from importlib.metadata import distributions
print(json.dumps({each.metadata["Name"].lower(): each.version for each in distributions()}))
"""


class Environment:
    """An environment of its own.

    Attributes:
        python: Its interpreter, which may not be there yet.
    """

    def __init__(self, name: str) -> None:
        self._folder = FOLDER / name
        inside = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
        self.python = self._folder / inside

    def make(self) -> None:
        """Make it if there is none, or one of another Python.

        What goes wrong is told on standard error.
        """
        if self._is_ours():
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        FOLDER.mkdir(exist_ok=True)
        uv, folder = _uv(), str(self._folder)
        _run(
            [uv, "venv", "--quiet", "--python", sys.executable, folder]
            if uv
            else [sys.executable, "-m", "venv", folder]
        )

    def _is_ours(self) -> bool:
        try:
            return _say(self.python) == _say(sys.executable)
        except (OSError, subprocess.SubprocessError):  # there is none, or what it was made of went
            return False

    def install(self, *requirements: str) -> None:
        """Install packages; what goes wrong is told on standard error."""
        uv, python = _uv(), str(self.python)
        _run(
            [uv, "pip", "install", "--quiet", "--python", python, *requirements]
            if uv
            else [python, "-m", "pip", "install", "--quiet", *requirements]
        )

    def versions(self) -> dict[str, str]:
        """Return the packages that are in it, names in lower case."""
        try:
            found = subprocess.run([self.python, "-c", _VERSIONS], check=True, capture_output=True)
        except (OSError, subprocess.SubprocessError):
            return {}
        versions: dict[str, str] = json.loads(found.stdout)
        return versions


def _say(python: str | Path) -> bytes:
    return subprocess.run([python, "-c", _VERSION], check=True, capture_output=True).stdout


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, timeout=PATIENCE, stdout=sys.stderr)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{' '.join(command)}: {error}", file=sys.stderr)
