"""Dead letters: how a message says why it is one, and how it becomes an ordinary one again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datalyr_core.event import clean_timestamp

STATUS = "datalyr-status"  # the HTTP status of the ingest's answer, if there was one
REASON = "datalyr-reason"
TIME = "datalyr-time"  # when it became one: ISO 8601, UTC
MAX_REASON = 500  # characters

_OURS = (STATUS, REASON, TIME)
_OF_BROKERS = ("x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason")


def dead_headers(
    headers: Mapping[str, Any], status: int | None, reason: str, at: float
) -> dict[str, Any]:
    """Return the headers of a dead letter.

    Args:
        headers: The message's own.
        status: The HTTP status of the ingest's answer, if there was one.
        reason: Why it is one.
        at: When it became one, in epoch seconds.
    """
    told = {} if status is None else {STATUS: status}
    return {
        **living_headers(headers),
        **told,
        REASON: reason[:MAX_REASON],
        TIME: clean_timestamp(at),
    }


def living_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dead letter's headers as they were when it was none."""
    dropped = {*_OURS, *_OF_BROKERS, "redelivered"}
    return {name: value for name, value in headers.items() if name not in dropped}
