"""The servers that a soak puts under load."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from uvicorn import Config

GUNICORN = (
    *("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "error"),
    *("--no-control-socket", "--workers", "{workers}", "--timeout", "60"),
    *("--graceful-timeout", "30"),
)
UVICORN = (
    *("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "error"),
    *("--no-access-log", "--workers", "{workers}"),
)
# Its master kills a worker that does not answer for 5 seconds; a busy machine is not the subject.
_HEALTH = "timeout_worker_healthcheck"
PATIENT = (
    ("--timeout-worker-healthcheck", "60")
    if _HEALTH in inspect.signature(Config.__init__).parameters
    else ()
)
APPS = "tests.live.soak.apps"
WORKERS = 2  # the first is spared, so that somebody lives through it all


@dataclass(frozen=True)
class Server:
    """What is started.

    Attributes:
        name: What the plan and the ledger call it.
        command: What follows the interpreter, with `{port}` and `{workers}`.
        share: How much of the load it gets, in relation to others.
    """

    name: str
    command: tuple[str, ...]
    share: int


THREADED = ("--worker-class", "gthread", "--threads", "4")
SERVERS = (
    Server("flask", (*GUNICORN, *THREADED, f"{APPS}.flask_app:app"), 2),
    Server("django", (*GUNICORN, f"{APPS}.django_app:app"), 1),
    Server("starlette", (*UVICORN, *PATIENT, f"{APPS}.starlette_app:app"), 2),
)
