"""A small run of what `python -m tests.live.broker` does."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("kombu")
pytest.importorskip("redis")

from tests.live.broker.run import Plan, play
from tests.support.rabbitmq import rabbitmq_command
from tests.support.redis import redis_command


@pytest.mark.timeout(600)
@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_nothing_is_missing_when_a_relay_and_the_broker_are_killed(
    broker: str, tmp_path: Path
) -> None:
    if not (redis_command() if broker == "redis" else rabbitmq_command()):
        pytest.skip(f"{broker}-server is not installed")
    outcome = play(Plan(broker, events=4000, seed=1, folder=tmp_path))
    assert outcome.good, outcome
    assert outcome.accepted == outcome.arrived == 4000
