"""Every way a process ends, counted at a real ingest: `python -m tests.live.exits`.

Each row starts a real server or program, tracks under load, ends the process, and compares
the event ids that the application was given with those that the inspector has seen.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

import httpx

from datalyr_core.inspector.server import running

REQUESTS = 200
THREADS = 4
DEADLINE = 30.0  # seconds, of everything that is waited for


@dataclass(frozen=True)
class Row:
    """What happened to one process."""

    server: str
    ended_by: str
    accepted: int
    delivered: int
    duplicates: int
    seconds: float
    status: int

    @property
    def good(self) -> bool:
        return self.accepted > 0 and self.accepted == self.delivered and not self.duplicates

    def __str__(self) -> str:
        return (
            f"{self.server:<28} {self.ended_by:<22} {self.accepted:>8} {self.delivered:>9} "
            f"{self.duplicates:>10} {self.seconds:>7.2f} s  {self.status:>4}"
        )


HEADER = (
    f"{'server':<28} {'ended by':<22} {'accepted':>8} {'delivered':>9} {'duplicates':>10} "
    f"{'took':>9}  exit"
)


def gunicorn(app: str, *options: str) -> list[str]:
    return ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error", *options, app]


def uvicorn(app: str) -> list[str]:
    return ["-m", "uvicorn", "--port", "{port}", "--log-level", "error", app]


FLASK, STARLETTE, DJANGO = (
    f"tests.live.apps.{name}_app" for name in ("flask", "starlette", "django")
)
GTHREAD = ("--worker-class", "gthread", "--threads", "4")

SERVERS: dict[tuple[str, str], tuple[list[str], signal.Signals]] = {
    ("gunicorn sync, Flask", "SIGTERM"): (gunicorn(f"{FLASK}:app"), signal.SIGTERM),
    ("gunicorn sync, Django", "SIGTERM"): (gunicorn(f"{DJANGO}:wsgi"), signal.SIGTERM),
    ("gunicorn gthread, Flask", "SIGTERM"): (gunicorn(f"{FLASK}:app", *GTHREAD), signal.SIGTERM),
    # SIGINT makes gunicorn's gthread worker lock itself up, with or without us: its handler
    # shuts the thread pool down in the middle of a submit.
    ("gunicorn gthread, Django", "SIGTERM"): (gunicorn(f"{DJANGO}:wsgi", *GTHREAD), signal.SIGTERM),
    ("gunicorn sync, Flask", "SIGINT"): (gunicorn(f"{FLASK}:app"), signal.SIGINT),
    ("gunicorn preload, Flask", "SIGTERM"): (
        gunicorn(f"{FLASK}:app", "--preload", "--workers", "2"),
        signal.SIGTERM,
    ),
    ("uvicorn, Starlette", "SIGTERM"): (uvicorn(f"{STARLETTE}:app"), signal.SIGTERM),
    ("uvicorn, Starlette", "SIGINT"): (uvicorn(f"{STARLETTE}:app"), signal.SIGINT),
    ("uvicorn, Django", "SIGTERM"): (uvicorn(f"{DJANGO}:app"), signal.SIGTERM),
}

PROGRAMS: dict[tuple[str, str], str] = {
    ("plain script", "end of the script"): "end",
    ("plain script", "sys.exit"): "sys_exit",
    ("plain script", "unhandled exception"): "exception",
    ("plain script", "SIGTERM"): "wait",
    ("thread that outlives main", "end of the thread"): "thread",
    ("forked child and parent", "end of both"): "fork",
    ("multiprocessing, fork", "end of both"): "multiprocessing-fork",
    ("multiprocessing, spawn", "end of both"): "multiprocessing-spawn",
    ("multiprocessing, forkserver", "end of both"): "multiprocessing-forkserver",
}


def run_server(name: tuple[str, str]) -> Row:
    """Load a server, signal it in the middle of the load, and count."""
    command, ending = SERVERS[name]
    with running() as ingest, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        arguments = [part.format(port=port) for part in command]
        with _child(arguments, ingest.track_url) as child:
            _until(lambda: _answers(port), "the server answers")
            ids: list[str] = []
            threads = [threading.Thread(target=_load, args=(port, ids)) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            _until(lambda: len(ids) >= REQUESTS, f"{REQUESTS} requests are served")
            begun = time.monotonic()
            child.send_signal(ending)
            status = child.wait(DEADLINE)
            took = time.monotonic() - begun
            for thread in threads:
                thread.join(DEADLINE)
        return _counted(name, ids, ingest.url, took, status)


def run_program(name: tuple[str, str]) -> Row:
    """Run a program to its end, and count."""
    program = PROGRAMS[name]
    with running() as ingest:
        with _child(["-m", "tests.live.apps.scripts", program], ingest.track_url) as child:
            begun = time.monotonic()
            if program == "wait":
                lines = list(iter(child.stdout.readline, "ready\n"))
                child.send_signal(signal.SIGTERM)
            else:
                lines = []
            lines += child.stdout.readlines()
            status = child.wait(DEADLINE)
            took = time.monotonic() - begun
        return _counted(name, [line.strip() for line in lines], ingest.url, took, status)


def _counted(
    name: tuple[str, str], ids: list[str], inspector: str, took: float, status: int
) -> Row:
    events = httpx.get(f"{inspector}/api/events", params={"limit": 10_000}).json()["events"]
    seen = Counter(event["event"]["eventId"] for event in events)
    delivered = sum(1 for each in ids if each in seen)
    duplicates = sum(count - 1 for count in seen.values())
    return Row(*name, len(ids), delivered, duplicates, took, status)


def _load(port: int, ids: list[str]) -> None:
    """Ask until the server is gone; an id counts when its answer has come."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        while True:
            try:
                reply = client.get("/track")
            except httpx.HTTPError:
                return
            # gunicorn that is told to quit in the middle of a reply goes on with an error page.
            if reply.status_code == 200 and len(reply.text) == len(str(UUID(int=0))):
                ids.append(reply.text)


@contextmanager
def _child(arguments: list[str], track_url: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "DATALYR_API_KEY": "dk_live", "DATALYR_HOST": track_url}
    child = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):  # a server's workers too, if any outlived it
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/missing", timeout=1).status_code == 404
    except httpx.HTTPError:
        return False


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {DEADLINE} s until {what}")
        time.sleep(0.02)  # between two looks at the condition


def main() -> int:
    print(HEADER)
    bad = 0
    for names, run in ((PROGRAMS, run_program), (SERVERS, run_server)):
        for name in names:
            row = run(name)
            bad += not row.good
            print(row, "" if row.good else "  <-- LOST", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
