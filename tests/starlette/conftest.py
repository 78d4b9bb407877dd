from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from datalyr_core.testing import RecordingClient, recording_client

MakeRecording = Callable[..., RecordingClient]


@pytest.fixture
def make_recording() -> Iterator[MakeRecording]:
    """Make clients of Datalyr that keep their events."""
    made: list[RecordingClient] = []

    def make(**options: Any) -> RecordingClient:
        made.append(recording_client(**options))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_recording: MakeRecording) -> RecordingClient:
    return make_recording()
