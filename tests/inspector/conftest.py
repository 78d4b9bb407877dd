from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from datalyr_core.inspector.server import RunningInspector, running


@pytest.fixture
def inspector() -> Iterator[RunningInspector]:
    with running() as served:
        yield served


@pytest.fixture
def http(inspector: RunningInspector) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=inspector.url, timeout=10, trust_env=False) as client:
        yield client
