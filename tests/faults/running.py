"""Running rows, each in a process of its own, some of them side by side."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tests.faults.fault import Fault, Measured

ROOT = Path(__file__).parents[2]
LONGEST = 300  # seconds that a row may take on a busy machine
_NAMESPACES = ("unshare", "--mount", "--net")


def run(faults: Iterable[Fault], jobs: int) -> Iterator[Measured]:
    """Run rows, and hand out what came of each, in order."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(run_one, faults)


def run_one(fault: Fault) -> Measured:
    """Run one row, or say why it is left out."""
    if why := _impossible(fault):
        return Measured(fault.name, skipped=why)
    command = (*(_NAMESPACES if fault.namespace else ()), sys.executable, "-m", "tests.faults.row")
    try:
        done = subprocess.run(
            [*command, fault.name],
            cwd=ROOT,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Measured(fault.name, failed=f"no result within {LONGEST} s")
    if done.returncode:
        return Measured(fault.name, failed=done.stderr.strip().rpartition("\n")[2])
    return Measured(**json.loads(done.stdout))


def _environment() -> dict[str, str]:
    """An environment without options, and without a sign of a test run, which sends nowhere."""
    ours = ("PYTEST_", "DATALYR_")
    proxies = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name.upper() not in proxies
    }


def _impossible(fault: Fault) -> str:
    if fault.needs and find_spec(fault.needs) is None:
        return f"{fault.needs} is not installed"
    if fault.ipv6 and not _has_ipv6():
        return "this machine has no IPv6"
    return _without_namespaces() if fault.namespace else ""


@cache
def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


@cache
def _without_namespaces() -> str:
    """Say what is missing for a network and files of a row's own; nothing if all is there."""
    missing = [name for name in ("unshare", "ip", "mount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    tried = (
        "ip link set lo up",
        "mount --bind /etc/hosts /etc/resolv.conf",
        "mount --bind /etc/hosts /etc/nsswitch.conf",
    )
    command = [*_NAMESPACES, "sh", "-c", " && ".join(tried)]
    done = subprocess.run(command, capture_output=True, check=False)
    return "this user may not have namespaces" if done.returncode else ""
