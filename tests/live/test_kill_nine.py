"""Workers that are killed lose nothing with a durable outbox: a short run."""

from __future__ import annotations

import pytest

from tests.live.kill_nine import run

pytest.importorskip("gunicorn")


@pytest.mark.timeout(400)  # starting workers is what takes its time
@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["workers load", "preload"])
def test_kill_nine_loses_nothing(options: tuple[str, ...]) -> None:
    outcome = run(4, "sqlite", *options)
    assert outcome.accepted > 100
    assert outcome.lost == 0, outcome
