"""However a process ends, what it accepted is delivered once: a part of the matrix."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.live.exit_matrix.catalogue import catalogue
from tests.live.exit_matrix.playing import played
from tests.live.exit_matrix.rows import Row

# One of each server and worker model, and one of each end.
SERVERS = (
    "gunicorn sync, 1 worker, Flask - Ctrl+C",
    "gunicorn sync, 1 worker, Flask - SIGHUP reload",
    "gunicorn sync, 1 worker, Flask - worker time-out",
    "gunicorn gthread, 3 workers, preload, Django - SIGTERM",
    "gunicorn gthread, 1 worker, Flask - --max-requests",
    "gunicorn gevent, 1 worker, Flask - SIGTERM",
    "gunicorn uvicorn worker, 1 worker, Starlette - SIGTERM",
    "uvicorn, 1 worker, FastAPI - SIGTERM",
    "uvicorn, 1 worker, Django - Ctrl+C",
    "uvicorn, 2 workers, Starlette - SIGTERM",
    "uvicorn, lifespan off, Starlette - SIGTERM",
    "hypercorn, 2 workers, Starlette - SIGTERM",
    "granian WSGI, 1 worker, Flask - SIGTERM",
    "granian ASGI, 1 worker, Django - SIGTERM",
    "waitress, Django - SIGTERM",
    "waitress, Flask - SIGTERM, ingest hangs",
    "daphne, Django - SIGTERM",
    "Flask's server - SIGTERM",
    "Django's server - SIGTERM",
    "management command - its end",
    "pytest - end of the run",
)
ROWS = {row.name: row for row in catalogue()}
CHOSEN = [*(ROWS[name] for name in SERVERS), *(row for row in ROWS.values() if row.ci)]
LONG = 25.0  # seconds; how long an end may take is for the matrix to say, on a quiet machine


@pytest.mark.timeout(240)  # what it waits for has bounds of its own
@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.name)
def test_exit_loses_nothing(row: Row) -> None:
    if missing := row.missing():
        pytest.skip(f"needs {', '.join(missing)}")

    result = played(replace(row, longest=LONG), compare=False)

    assert not result.problems, result
