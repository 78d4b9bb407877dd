"""The machine that a table was made on."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks._cores import division
from benchmarks._peers import PACKAGES, installed

OURS = ("datalyr", "django", "flask", "starlette", "gunicorn", "uvicorn", "httpx", "orjson")


def machine() -> str:
    """Name what the figures depend on."""
    peers = ", ".join(f"{PACKAGES[name]} {found}" for name, found in installed().items())
    ours = ", ".join(f"{name} {_version(name)}" for name in OURS)
    load = f"load average {os.getloadavg()[0]:.1f} before the run"
    system = f"{platform.system()} {platform.release()}"
    return (
        f"- {_processor()}, {os.cpu_count()} cores; {system}; {load}\n"
        f"- {division()}\n"
        f"- {platform.python_implementation()} {platform.python_version()}\n"
        f"- {ours}\n"
        f"- {peers or 'no peers'}\n"
    )


def _processor() -> str:
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"
