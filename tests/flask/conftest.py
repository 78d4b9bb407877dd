from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from datalyr_core.testing import RecordingClient, recording_client
from datalyr_flask import FlaskDatalyr

MakeApp = Callable[..., Flask]


@pytest.fixture
def client() -> Iterator[RecordingClient]:
    """A client of Datalyr that keeps its events."""
    with recording_client() as made:
        yield made


@pytest.fixture
def app(client: RecordingClient) -> Flask:
    app = Flask(__name__)
    FlaskDatalyr(app, client)
    return app


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    """Make applications whose clients, made with some options, keep their events."""
    made: list[RecordingClient] = []

    def make(**options: Any) -> Flask:
        made.append(recording_client(**options))
        app = Flask(__name__)
        FlaskDatalyr(app, made[-1])
        return app

    yield make
    for client in made:
        client.close()
