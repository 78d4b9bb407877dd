"""Which interpreters this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_ASK = "import sys, sqlite3, ssl, venv; print('%d.%d' % sys.version_info[:2])"


@cache
def find(version: str) -> str | None:
    """Return the path of an interpreter of a version such as 3.12, or None."""
    return next((path for path in _candidates(version) if _is(path, version)), None)


def _candidates(version: str) -> Iterator[str]:
    yield getattr(sys, "_base_executable", sys.executable)
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    uvs = Path.home() / ".local/share/uv/python"
    for folder in (*pyenv.glob(f"{version}.*"), *uvs.glob(f"cpython-{version}.*")):
        yield str(folder / "bin" / "python")


def _is(path: str, version: str) -> bool:
    try:
        asked = subprocess.run([path, "-c", _ASK], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.stdout.strip() == version
