"""However a worker ends, what its jobs have tracked is delivered once: a part of the matrix."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.live.exit_matrix.jobs import ROWS
from tests.live.exit_matrix.playing import played

CHOSEN = (
    "Celery prefork, parent has sent - SIGTERM",
    "Celery prefork - --max-tasks-per-child",
    "Celery threads - SIGTERM",
    "Celery gevent - SIGTERM",
    "RQ Worker - end of a burst",
    "RQ SimpleWorker - SIGTERM",
)
# How long an end may take is for the matrix to say, on a quiet machine. Celery's prefork pool
# by itself takes half a minute now and then.
LONG = 55.0


@pytest.mark.timeout(240)  # what it waits for has bounds of its own
@pytest.mark.parametrize("name", CHOSEN)
def test_exit_loses_nothing(name: str) -> None:
    row = {row.name: row for row in ROWS}[name]
    if missing := row.missing():
        pytest.skip(f"needs {', '.join(missing)}")

    result = played(replace(row, longest=LONG), compare=False)

    assert not result.problems, result
