"""All rows of the matrix."""

from __future__ import annotations

from tests.live.exit_matrix import development, gunicorn, jobs, programs, servers, uwsgi
from tests.live.exit_matrix.rows import Row


def catalogue() -> list[Row]:
    """List every row, in the order of the table."""
    return [
        *gunicorn.ROWS,
        *servers.ROWS,
        *uwsgi.ROWS,
        *development.ROWS,
        *programs.ROWS,
        *jobs.ROWS,
    ]
