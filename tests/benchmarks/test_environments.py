"""Environments beside the one that runs the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import _environments
from benchmarks._environments import Environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its interpreter is a script here")


@pytest.mark.parametrize(
    ("interpreter", "made"),
    [
        (f'exec {sys.executable} "$@"', 0),
        ("echo CPython 3.0.0", 1),
        ("exit 1", 1),
        (None, 1),
    ],
)
def test_environment_of_another_python_is_made_anew(
    interpreter: str | None, made: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(_environments, "FOLDER", tmp_path)
    monkeypatch.setattr(_environments, "_run", commands.append)
    environment = Environment("some")
    if interpreter:
        environment.python.parent.mkdir(parents=True)
        environment.python.write_text(f"#!/bin/sh\n{interpreter}\n")
        environment.python.chmod(0o755)
    environment.make()
    assert len(commands) == made
    assert environment.python.exists() is (made == 0)
