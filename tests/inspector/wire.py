"""A request as the contract wants it, to be spoiled by each test in its own way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

VERSION = "0.1.0"
KEY = "dk_live_secret_42"
HEADERS = {
    "X-API-Key": KEY,
    "Content-Type": "application/json",
    "User-Agent": f"datalyr-python/{VERSION}",
}


def body(event: str = "signed_up", anonymous_id: str = "anon_1", **changes: Any) -> dict[str, Any]:
    """Build a body that breaks no rule; `properties` are merged, other keys replaced."""
    properties = {"anonymous_id": anonymous_id, **changes.pop("properties", {})}
    return {
        "event": event,
        "anonymousId": anonymous_id,
        "eventId": f"id of {event}",
        "properties": properties,
        "context": context(),
        "timestamp": "2026-07-01T12:34:56.000Z",
        **changes,
    }


def context(**changes: Any) -> dict[str, Any]:
    good = {"library": "datalyr-python", "version": VERSION, "source": "api", "schema_version": 1}
    return {**good, **changes}


def without(mapping: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if key not in keys}


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def eventually(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Wait until a condition holds, and fail when it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)
