from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from datalyr_core.config import Config
from tests.support.brokers import Broker
from tests.support.ingest import OK, IngestServer

if TYPE_CHECKING:  # they import kombu, which may be missing
    from datalyr_core.broker.intake import Source
    from datalyr_core.relay import Relay
    from tests.support.relays import RelayProcess

StartRelay = Callable[..., "AbstractContextManager[RelayProcess]"]
MakeRelay = Callable[..., "Relay"]


@pytest.fixture
def source(broker: Broker) -> Source:
    """A queue of the test's own on each broker."""
    from datalyr_core.broker.intake import Source

    return Source(broker.url, broker.queue, timeout=10)


@pytest.fixture
def start_relay(source: Source, ingest: IngestServer, tmp_path: Path) -> StartRelay:
    """Start relays in processes of their own."""
    from tests.support import relays

    return partial(relays.relay, source, ingest.url, tmp_path)


@pytest.fixture
def make_relay(source: Source, ingest: IngestServer) -> Iterator[MakeRelay]:
    """Make and start relays in this process, and stop them after the test."""
    from datalyr_core.relay import Relay

    made: list[Relay] = []

    def make(
        of: Source | None = None, visibility_timeout: float = 120.0, **options: object
    ) -> Relay:
        told = {"api_key": "dk_test", "host": ingest.url, "broker": source.url, **options}
        config = Config.from_mapping(told)
        relay = Relay(
            config, dataclasses.replace(of or source, visibility_timeout=visibility_timeout)
        )
        made.append(relay)
        relay.start()
        return relay

    yield make
    ingest.answer = OK  # nothing is left for it to be slow at
    for relay in made:
        assert relay.stop()
