"""Rows of uWSGI."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

from tests.live.exit_matrix import ends
from tests.live.exit_matrix.apps import DJANGO, FLASK, App
from tests.live.exit_matrix.ends import Server
from tests.live.exit_matrix.rows import Row, command
from tests.live.exit_matrix.servers import held_up, interrupted, reloaded, signalled

# Named by its path, since it is no Python program; rows of one that is not there are skipped.
UWSGI = command("uwsgi") or "/uwsgi"
OLD = os.environ.get("DATALYR_OLD_UWSGI", "/uwsgi")
COMMON = ("--http-socket", "127.0.0.1:{port}", "--master", "--need-app", "--die-on-term")
COMMON = (*COMMON, "--single-interpreter", "--module")
BUSY = "uWSGI runs no exit hooks in a worker that it ends in the middle of a request"
GRACEFUL = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")


def _server(app: App, *options: str, program: str = UWSGI, workers: int = 1) -> Server:
    processes = ("--processes", str(workers), *options)
    return Server((program, *COMMON, app.target, *processes), app.prefix, workers)


def _rows() -> Iterator[Row]:
    for app in (FLASK, DJANGO):
        for workers in (1, 3):
            for lazy in (False, True):
                yield from _arranged(app, workers, lazy=lazy)


def _arranged(app: App, workers: int, *, lazy: bool) -> Iterator[Row]:
    processes = f"{workers} processes" if workers > 1 else "1 process"
    name = ", ".join(["uWSGI", processes, *(["lazy-apps"] if lazy else []), app.name])
    options = ("--enable-threads", *(["--lazy-apps"] if lazy else []))
    more: dict[str, Any] = {"needs": ("uwsgi",), "slow": app is DJANGO and workers == 1}
    brutal = _server(app, *options, workers=workers)
    yield signalled(name, brutal, signal.SIGTERM, lossy=BUSY, **more)
    yield interrupted(name, brutal, lossy=BUSY, **more)
    yield held_up(name, brutal, **more)
    graceful = _server(app, *options, *GRACEFUL, workers=workers)
    yield signalled(f"{name}, graceful", graceful, signal.SIGTERM, late=True, **more)
    yield reloaded(f"{name}, graceful", graceful, late=True, **more)
    recycling = ("--max-requests", "60", "--min-worker-lifetime", "1")
    server = _server(app, *options, *GRACEFUL, *recycling, workers=workers)
    play = partial(ends.by_recycling, server=server)
    yield Row(
        arrangement=f"{name}, graceful", end="--max-requests", play=play, compared=True, **more
    )


ROWS = [
    *_rows(),
    signalled(
        "uWSGI before 2.0.27, without threads, Flask",
        _server(FLASK, program=OLD, workers=2),
        signal.SIGTERM,
        needs=("$DATALYR_OLD_UWSGI",),
        logged="--enable-threads",
        slow=True,
    ),
]
