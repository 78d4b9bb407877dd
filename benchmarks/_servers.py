"""Real servers with the example applications."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from benchmarks._cores import HERE, on
from benchmarks._signals import shielded
from benchmarks._workers import ROOT
from tests.live.soak.servers import GUNICORN, THREADED, UVICORN
from tests.support.waiting import eventually

APPS = "benchmarks.programs.apps"
COMMANDS = {
    "Flask under gunicorn (gthread)": (*GUNICORN, *THREADED, f"{APPS}.flask_app:app"),
    "Starlette under uvicorn": (*UVICORN, f"{APPS}.starlette_app:app"),
    "Django under gunicorn (gthread)": (*GUNICORN, *THREADED, f"{APPS}.django_app:app"),
}
PATIENCE = 30.0  # seconds for a start, and for an end


@contextmanager
def servers(
    name: str, arrangements: Mapping[str, dict[str, Any] | None]
) -> Iterator[dict[str, int]]:
    """Serve with one worker each until the end of the block.

    Args:
        name: One of `COMMANDS`.
        arrangements: The options of the client, by name; None for an application without
            Datalyr.

    Returns:
        The ports, by the same names.
    """
    ports = {arrangement: _free_port() for arrangement in arrangements}
    with ExitStack() as stack:
        processes: list[subprocess.Popen[bytes]] = []
        stack.callback(_end, processes)
        for arrangement, options in arrangements.items():
            with shielded():
                processes.append(_begun(name, ports[arrangement], options))
        for arrangement, port in ports.items():
            if not eventually(partial(_listens, port), PATIENCE):
                raise RuntimeError(f"{name} does not start ({arrangement})")
        yield ports


def _begun(name: str, port: int, options: dict[str, Any] | None) -> subprocess.Popen[bytes]:
    command = [part.format(port=port, workers=1) for part in COMMANDS[name]]
    environment = {"PYTHONPATH": str(ROOT), "BENCHMARK_OPTIONS": json.dumps(options)}
    with on(HERE):
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
