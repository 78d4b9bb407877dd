"""Jobs for RQ that track and note the events' ids."""

from __future__ import annotations

import time

from datalyr_core import current_tracker
from tests.live.apps.ledger import PLAIN, note, plain_id, told_to_go_on


def _one(kind: str) -> None:
    note(plain_id() if PLAIN else current_tracker().track("Live"), kind)


def track(count: int) -> None:
    for _ in range(count):
        _one("load")


def slow() -> None:
    _one("begun")
    while not told_to_go_on():
        time.sleep(0.05)
    _one("late")


def fail(count: int) -> None:
    track(count)
    raise ValueError("a job that fails, on purpose")
