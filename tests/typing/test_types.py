"""What users write, as mypy --strict and pyright see it.

Both accept every line of `programs/` and of the example projects, but for those that are
marked `# wrong`: these both refuse.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pytest

from datalyr_core import Config
from datalyr_core.option_types import AllOptions

pytestmark = pytest.mark.timeout(180)  # processes that a busy machine takes its time with

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
EXAMPLES = ROOT / "example_projects"

Lines = set[tuple[str, int]]  # a file's name and a line's number


def wrong_lines() -> Lines:
    return {
        (path.name, number)
        for path in PROGRAMS.glob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "  # wrong: " in line
    }


def run(tool: str, *arguments: str) -> str:
    pytest.importorskip(tool, reason=f"{tool} is not installed (extra: check)")
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(EXAMPLES / "django_shop")},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def mypy(cache: Path, *paths: Path) -> dict[tuple[str, int], str]:
    """Errors by file and line, as a user's own strict mypy gives them."""
    options = ("--strict", "--config-file=", f"--cache-dir={cache}", "--explicit-package-bases")
    found = re.findall(
        r"^(.+):(\d+): error: (.*)$", run("mypy", *options, *map(str, paths)), re.MULTILINE
    )
    return {(Path(name).name, int(line)): text for name, line, text in found}


def pyright(*paths: Path) -> dict[tuple[str, int], str]:
    options = ("--outputjson", "--pythonpath", sys.executable)
    found = json.loads(run("pyright", *options, *map(str, paths)))["generalDiagnostics"]
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1): each["message"]
        for each in found
        if each["severity"] == "error"
    }


def programs() -> Sequence[Path]:
    found = [*PROGRAMS.glob("*.py"), *EXAMPLES.glob("*_shop/**/*.py")]
    return sorted(path for path in found if path.name not in ("gunicorn.conf.py", "manage.py"))


def test_mypy_refuses_what_is_wrong_and_accepts_everything_else(tmp_path: Path) -> None:
    errors = mypy(tmp_path, *programs())
    assert len(wrong_lines()) > 40
    assert {line: errors.get(line) for line in errors.keys() ^ wrong_lines()} == {}


def test_pyright_refuses_what_is_wrong_and_accepts_everything_else() -> None:
    errors = pyright(*programs())
    assert {line: errors.get(line) for line in errors.keys() ^ wrong_lines()} == {}


def test_the_types_name_every_option() -> None:
    assert AllOptions.__annotations__.keys() == {option.name for option in fields(Config)}
