"""The least that any tracker does: one event id, one `orjson.dumps`, one append."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable

import orjson

from benchmarks.programs.contestants import PROPERTIES
from datalyr_core.identity import new_id

IDS: dict[str, Callable[[], str]] = {"new_id": new_id, "uuid4": lambda: str(uuid.uuid4())}


KEPT = 1000


def floor(make_id: Callable[[], str]) -> Callable[[], None]:
    """Return what is to be called once an event; it has got the memory that it needs."""
    kept: deque[bytes] = deque(maxlen=KEPT)
    anonymous_id = "anon_3d5cf66d-203f-4009-8bb0-f3714da152a4"

    def work() -> None:
        event = {
            "event": "Purchase Completed",
            "anonymousId": anonymous_id,
            "eventId": make_id(),
            "properties": {**PROPERTIES, "anonymous_id": anonymous_id},
            "context": {"library": "datalyr-python", "version": "0", "source": "api"},
            "timestamp": "2026-07-01T12:34:56.000Z",
        }
        kept.append(orjson.dumps(event))

    for _ in range(KEPT):
        work()
    return work
