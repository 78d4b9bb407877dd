"""An environment with nothing but what an application installs: `.benchmarks/plain`.

httpx and httpcore import what is there of trio, h2, rich and others, as it is where this is
developed, and an application pays for it only where it has them.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchmarks._environments import Environment
from benchmarks._workers import Unavailable

# Datalyr's own requirements and the frameworks, as they are here.
_PACKAGES = ("anyio", "httpcore", "httpx", "orjson", "django", "flask", "starlette")
_environment = Environment("plain")


@cache
def python() -> Path:
    """Make the environment if it is not there, and return its interpreter.

    Raises:
        Unavailable: Something cannot be installed.
    """
    wanted = {name: version(name) for name in _PACKAGES}
    _environment.make()
    if not wanted.items() <= _environment.versions().items():
        _environment.install(*(f"{name}=={number}" for name, number in wanted.items()))
    missing = wanted.items() - _environment.versions().items()
    if missing:
        raise Unavailable(f"not installed: {', '.join(name for name, _ in sorted(missing))}")
    return _environment.python
