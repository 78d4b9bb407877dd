"""Rows of servers but gunicorn, which has a module of its own."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial
from typing import Any

from tests.live.exit_matrix import ends
from tests.live.exit_matrix.apps import DJANGO, DJANGO_ASGI, FASTAPI, FLASK, STARLETTE, App
from tests.live.exit_matrix.ends import Server
from tests.live.exit_matrix.programs import EXIT_TIMEOUT
from tests.live.exit_matrix.rows import LONGER, Row

GRANIAN_LOCKS = "granian may lock itself up when its workers get the signal too, plugin or not"
GRANIAN_RELOADS = "granian may miss a SIGTERM that comes upon its reload, plugin or not"

SIGTERM, SIGINT = signal.SIGTERM, signal.SIGINT


def signalled(name: str, server: Server, signum: signal.Signals, **more: Any) -> Row:
    """Make a row that ends a server with a signal to its first process."""
    play = partial(ends.by_signal, server=server, signum=signum)
    return Row(**{"arrangement": name, "end": signum.name, "play": play, "compared": True, **more})


def held_up(name: str, server: Server, **more: Any) -> Row:
    """Make a row in which the ingest hangs: `exit_timeout` bounds what that costs."""
    impatient = replace(server, options={"exit_timeout": EXIT_TIMEOUT})
    play = partial(ends.by_signal, server=impatient, signum=SIGTERM, hanging=True)
    more = {"allowance": EXIT_TIMEOUT + LONGER, "lossy": "the ingest takes nothing", **more}
    return Row(arrangement=name, end="SIGTERM, ingest hangs", play=play, compared=True, **more)


def reloaded(name: str, server: Server, **more: Any) -> Row:
    """Make a row that has a server replace its workers."""
    play = partial(ends.by_reload, server=server)
    return Row(arrangement=name, end="SIGHUP reload", play=play, compared=True, **more)


def interrupted(name: str, server: Server, **more: Any) -> Row:
    """Make a row that presses Ctrl+C: each process of the terminal gets the signal."""
    play = partial(ends.by_signal, server=server, signum=SIGINT, group=True)
    return Row(**{"arrangement": name, "end": "Ctrl+C", "play": play, "compared": True, **more})


def _module(module: str, app: App, *options: str, workers: int = 1) -> Server:
    return Server(("-m", module, *options, app.target), app.prefix, workers)


def _uvicorn() -> list[Row]:
    rows = []
    for app in (STARLETTE, FASTAPI, DJANGO_ASGI):
        for workers in (1, 2):
            options = ("--port", "{port}", "--log-level", "error", "--workers", str(workers))
            server = _module("uvicorn", app, *options, workers=workers)
            name = f"uvicorn, {_workers(workers)}, {app.name}"
            rows.append(signalled(name, server, SIGTERM, late=True))
            rows.append(interrupted(name, server, late=True))
            rows.append(held_up(name, server))
            if workers == 2:
                rows.append(reloaded(name, server, late=True))
    # As an application that is mounted in another, which hears of no lifespan.
    silent = ("--port", "{port}", "--log-level", "error", "--lifespan", "off")
    server, name = _module("uvicorn", STARLETTE, *silent), "uvicorn, lifespan off, Starlette"
    rows.append(signalled(name, server, SIGTERM, late=True))
    rows.append(interrupted(name, server, late=True))
    rows.append(held_up(name, server))
    return rows


def _hypercorn() -> list[Row]:
    rows = []
    for app in (STARLETTE, DJANGO_ASGI):
        for workers in (1, 2):
            options = ("--bind", "127.0.0.1:{port}", "--log-level", "error", "-w", str(workers))
            server = _module("hypercorn", app, *options, workers=workers)
            name, needs = f"hypercorn, {_workers(workers)}, {app.name}", ("hypercorn",)
            rows.append(signalled(name, server, SIGTERM, late=True, needs=needs))
            rows.append(interrupted(name, server, late=True, needs=needs))
            rows.append(reloaded(name, server, late=True, needs=needs, slow=True))
            rows.append(held_up(name, server, needs=needs))
    return rows


def _granian() -> list[Row]:
    rows = []
    for interface, app in (
        ("wsgi", FLASK),
        ("wsgi", DJANGO),
        ("asgi", STARLETTE),
        ("asgi", DJANGO_ASGI),
    ):
        for workers in (1, 2):
            options = ("--interface", interface, "--port", "{port}", "--log-level", "error")
            server = _module("granian", app, *options, "--workers", str(workers), workers=workers)
            name = f"granian {interface.upper()}, {_workers(workers)}, {app.name}"
            more: dict[str, Any] = {"needs": ("granian",), "late": True}
            rows.append(signalled(name, server, SIGTERM, **more))
            rows.append(interrupted(name, server, locks=GRANIAN_LOCKS, slow=True, **more))
            rows.append(signalled(name, server, SIGINT, **more))
            rows.append(reloaded(name, server, locks=GRANIAN_RELOADS, slow=True, **more))
            rows.append(held_up(name, server, needs=("granian",)))
    return rows


def _waitress() -> list[Row]:
    rows = []
    for app in (FLASK, DJANGO):
        server = _module("waitress", app, "--listen", "127.0.0.1:{port}")
        name, needs = f"waitress, {app.name}", ("waitress",)
        rows.append(signalled(name, server, SIGTERM, needs=needs))
        rows.append(interrupted(name, server, needs=needs))
        rows.append(held_up(name, server, needs=needs))
    return rows


def _daphne() -> list[Row]:
    rows = []
    for app in (STARLETTE, DJANGO_ASGI):
        server = _module("daphne", app, "--port", "{port}", "--verbosity", "0")
        name, needs = f"daphne, {app.name}", ("daphne",)
        rows.append(signalled(name, server, SIGTERM, needs=needs))
        rows.append(interrupted(name, server, needs=needs))
        rows.append(held_up(name, server, needs=needs))
    return rows


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


ROWS = [*_uvicorn(), *_hypercorn(), *_granian(), *_waitress(), *_daphne()]
