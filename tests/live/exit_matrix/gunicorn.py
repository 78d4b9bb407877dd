"""Rows of gunicorn: every worker model times every end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from tests.live.exit_matrix import ends
from tests.live.exit_matrix.apps import DJANGO, DJANGO_ASGI, FLASK, STARLETTE, App
from tests.live.exit_matrix.ends import Server
from tests.live.exit_matrix.rows import Row
from tests.live.exit_matrix.servers import held_up, interrupted, reloaded, signalled

COMMON = ("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error")
COMMON = (*COMMON, "--graceful-timeout", "20", "--no-control-socket")


# Its handler shuts the thread pool down in the middle of a submit.
GTHREAD_LOCKS = "gunicorn's gthread worker may lock itself up, plugin or not"


class Model(NamedTuple):
    """A worker model: its options and what it needs."""

    name: str
    options: tuple[str, ...]
    needs: tuple[str, ...]
    apps: tuple[App, ...]


WSGI, ASGI = (FLASK, DJANGO), (STARLETTE, DJANGO_ASGI)
MODELS = (
    Model("sync", (), (), WSGI),
    Model("gthread", ("--worker-class", "gthread", "--threads", "6"), (), WSGI),
    Model("gevent", ("--worker-class", "gevent"), ("gevent",), WSGI),
    Model(
        "uvicorn worker",
        ("--worker-class", "uvicorn_worker.UvicornWorker"),
        ("uvicorn_worker",),
        ASGI,
    ),
)


def _rows() -> Iterator[Row]:
    for model in MODELS:
        for app in model.apps:
            for preload in (False, True):
                for workers in (1, 3):
                    yield from _arranged(model, app, preload, workers)


def _arranged(model: Model, app: App, preload: bool, workers: int) -> Iterator[Row]:
    options = (*COMMON, *model.options, "--workers", str(workers))
    options = (*options, *(("--preload",) if preload else ()))
    words = [f"gunicorn {model.name}", f"{workers} workers" if workers > 1 else "1 worker"]
    name = ", ".join([*words, *(["preload"] if preload else []), app.name])
    server = Server((*options, app.target), app.prefix, workers)
    # What Django's workers add to those of the other framework is the same for each number.
    more: dict[str, Any] = {"needs": model.needs, "slow": app.name == "Django" and workers == 1}
    quick_end = model.name != "uvicorn worker"  # SIGINT: running requests are broken off
    yield signalled(name, server, signal.SIGTERM, late=True, **more)
    locks = GTHREAD_LOCKS if model.name == "gthread" else ""
    yield interrupted(name, server, late=not quick_end, locks=locks, **more)
    yield reloaded(name, server, late=True, **more)
    yield held_up(name, server, **more)
    yield _recycled(name, server, **more)
    if app in (FLASK, STARLETTE):
        yield from _crashes(name, model, server)


def _with(server: Server, *options: str) -> Server:
    return replace(server, command=(*server.command, *options))


def _recycled(name: str, server: Server, **more: Any) -> Row:
    play = partial(ends.by_recycling, server=_with(server, "--max-requests", "60"))
    return Row(arrangement=name, end="--max-requests", play=play, compared=True, **more)


def _crashes(name: str, model: Model, server: Server) -> Iterator[Row]:
    if model.name != "gthread":  # its main thread goes on, and says that all is well
        yield _timed_out(name, model, server)
    yield Row(
        arrangement=name,
        end="SIGKILL of a worker",
        play=partial(ends.by_crash, server=server),
        needs=model.needs,
        crash="the killed worker's last second",
    )


def _timed_out(name: str, model: Model, server: Server) -> Row:
    server = _with(server, "--timeout", "2")
    # Its worker leaves SIGABRT its default action, which ends a process at once.
    crash = "the blocked worker's last second" if model.name == "uvicorn worker" else ""
    return Row(
        arrangement=name,
        end="worker time-out",
        play=partial(ends.by_timeout, server=server, crash=bool(crash)),
        needs=model.needs,
        crash=crash,
    )


ROWS = list(_rows())
