"""Other products' clients, in an environment of their own: `.benchmarks/peers`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks._workers import ROOT, Unavailable, Worker

FOLDER = ROOT / ".benchmarks" / "peers"
PACKAGES = {
    "segment": "segment-analytics-python",
    "posthog": "posthog",
    "snowplow": "snowplow-tracker",
    "rudderstack": "rudder-sdk-python",
    "sentry": "sentry-sdk",
}
TITLES = {
    "segment": "Segment",
    "posthog": "PostHog",
    "snowplow": "Snowplow",
    "rudderstack": "RudderStack",
    "sentry": "Sentry",
}
_VERSIONS = """
import json, sys
from importlib.metadata import distributions
print(json.dumps({each.metadata["Name"].lower(): each.version for each in distributions()}))
"""
PATIENCE = 300  # seconds for one installation


@cache
def installed() -> dict[str, str]:
    """Install what is missing, and return the version of each peer that is there."""
    wanted = [*PACKAGES.values(), f"django=={_ours('django')}"]
    if not _python().exists():
        _run(_environment())
    there = _versions()
    for requirement in wanted:
        name, _, exact = requirement.partition("==")
        if name not in there or (exact and there[name] != exact):
            _run(_installation(requirement))
    there = _versions()
    return {name: there[package] for name, package in PACKAGES.items() if package in there}


def worker(program: str, *arguments: str, peer: str) -> Worker:
    """Run a program in the peers' environment.

    Raises:
        Unavailable: The peer is not installed, or does not start.
    """
    if peer not in installed():
        raise Unavailable(f"{PACKAGES[peer]} cannot be installed")
    return Worker(program, *arguments, python=_python())


def _python() -> Path:
    return FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv")


def _environment() -> list[str]:
    FOLDER.parent.mkdir(exist_ok=True)
    if uv := _uv():
        return [uv, "venv", "--quiet", "--python", sys.executable, str(FOLDER)]
    return [sys.executable, "-m", "venv", str(FOLDER)]


def _installation(requirement: str) -> list[str]:
    if uv := _uv():
        return [uv, "pip", "install", "--quiet", "--python", str(_python()), requirement]
    return [str(_python()), "-m", "pip", "install", "--quiet", requirement]


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, timeout=PATIENCE, stdout=sys.stderr)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{' '.join(command)}: {error}", file=sys.stderr)


def _versions() -> dict[str, str]:
    try:
        found = subprocess.run([_python(), "-c", _VERSIONS], check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    versions: dict[str, str] = json.loads(found.stdout)
    return versions


def _ours(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "5.2"
