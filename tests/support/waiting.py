"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def eventually(condition: Callable[[], Any], timeout: float = 5.0) -> Any:
    """Poll until a condition holds.

    Returns:
        What the condition last said, so that `assert eventually(…)` shows it.
    """
    deadline = time.monotonic() + timeout
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return result
