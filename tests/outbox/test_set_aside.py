"""An event that used up its retries, when its client ends: it is left for others, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalyr_core.outbox.reading import read_status
from tests.conftest import MakeClient
from tests.support.ingest import DOWN, IngestServer
from tests.support.waiting import eventually

SOON = 30.0  # seconds


def is_let_go(path: Path) -> bool:
    return not any(owner.alive for owner in read_status(path).owners)


def test_what_was_set_aside_before_the_end(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    ingest.answer = DOWN
    client = make_client(outbox=url, retry_limit=0)
    for number in range(10):
        client.track("user_1", f"Event {number}")
    assert not client.flush()
    assert not client.close(timeout=0)
    assert eventually(lambda: is_let_go(path), SOON)
    assert read_status(path).events == 10


@pytest.mark.parametrize("count", [1, 30])
def test_what_is_on_its_way_at_the_end_and_fails_then(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path, count: int
) -> None:
    ingest.answer = DOWN
    client = make_client(outbox=url, retry_limit=0)
    for number in range(count):
        client.track("user_1", f"Event {number}")
    assert not client.close(timeout=0)
    assert eventually(lambda: is_let_go(path), SOON)
    assert read_status(path).events == count
