"""`client.stats`: a snapshot that goes anywhere."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict

import orjson
import pytest

from datalyr_core.testing import recording_client


def test_a_snapshot_is_plain_data() -> None:
    with recording_client() as client:
        client.track("user_1", "Bought")
        client.track("user_1", "")
        client.flush(30)
        stats = client.stats

    told = {
        "accepted": 1,
        "delivered": 1,
        "retried": 0,
        "waiting": 0,
        "dropped": {"validation_error": 1},
        "taken_over": 0,
    }
    assert asdict(stats) == told
    assert json.loads(json.dumps(asdict(stats))) == told
    assert orjson.loads(orjson.dumps(asdict(stats))) == told
    assert pickle.loads(pickle.dumps(stats)) == stats


@pytest.mark.parametrize(
    "copied", [lambda dropped: dropped, lambda dropped: pickle.loads(pickle.dumps(dropped))]
)
def test_none_of_a_reason_is_0_and_stays_unnamed(
    copied: Callable[[dict[str, int]], dict[str, int]],
) -> None:
    with recording_client() as client:
        dropped = copied(client.stats.dropped)
    assert dropped["closed"] == 0
    assert dropped == {}
    assert json.dumps(dropped) == "{}"


def test_a_snapshot_does_not_change() -> None:
    with recording_client() as client:
        before = client.stats
        client.track("user_1", "")
        assert before.dropped == {}
        before.dropped["closed"] = 7
        assert client.stats.dropped == {"validation_error": 1}
        with pytest.raises(FrozenInstanceError):
            before.accepted = 7  # type: ignore[misc]  # frozen
