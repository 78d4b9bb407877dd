from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from datalyr_core.outbox.sqlite import SqliteOutbox

MakeOutbox = Callable[..., SqliteOutbox]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the outbox, which is not there yet."""
    return tmp_path / "outbox.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite://{path}"


@pytest.fixture
def make_outbox(path: Path) -> Iterator[MakeOutbox]:
    """Make outboxes of one file, as processes of their own would have them."""
    made: list[SqliteOutbox] = []

    def make(**options: Any) -> SqliteOutbox:
        given = {"sink": "s", "limit": 1000, "most_bytes": 10**6, "window": 100, "interval": 0.0}
        outbox = SqliteOutbox(path, **{**given, **options})
        made.append(outbox)
        return outbox

    yield make
    for outbox in made:
        outbox.abandon()
        for entry in list(outbox._late):  # the answer does not come
            outbox.give_back(entry)
        outbox.tend()
