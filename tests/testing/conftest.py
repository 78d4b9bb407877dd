from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ingest import IngestServer
from tests.support.projects import Project


@pytest.fixture
def project(tmp_path: Path, ingest: IngestServer) -> Iterator[Project]:
    """A project whose clients send to the local ingest, which is to get nothing."""
    yield Project(tmp_path, ingest.url)
    assert ingest.connections == 0
