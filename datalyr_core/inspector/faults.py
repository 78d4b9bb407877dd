"""Failures on request: what the ingest should answer instead, and how often. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

KEYS = ("status", "retry_after", "delay", "cut", "count")
MAX_DELAY = 60
MAX_RETRY_AFTER = 86400


class FaultError(ValueError):
    """A fault that makes no sense; the message says why and what would."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for the ingest to fail.

    Attributes:
        status: The status to answer, or None.
        retry_after: Seconds for a `Retry-After` header beside the status, or None.
        delay: Seconds to wait before anything else.
        cut: Whether to close the connection without an answer.
        count: How many requests it is for; None until it is cleared.
    """

    status: int | None = None
    retry_after: int | None = None
    delay: float = 0
    cut: bool = False
    count: int | None = None

    @property
    def label(self) -> str:
        """Say what it does in a few words."""
        answer = "cut" if self.cut else str(self.status or "")
        if self.retry_after is not None:
            answer += f", Retry-After {self.retry_after}"
        waited = f"after {self.delay:g} s" if self.delay else ""
        return f"{answer or 'answered'} {waited}".strip()

    def as_json(self) -> dict[str, Any]:
        """Write it as the object that would set it again."""
        shown = {key: getattr(self, key) for key in KEYS if getattr(self, key) != DEFAULTS[key]}
        return {**shown, "count": self.count}


DEFAULTS: dict[str, Any] = {key: getattr(Fault(), key) for key in KEYS}


class Faults:
    """The fault that is set now."""

    def __init__(self) -> None:
        self.current: Fault | None = None

    def take(self) -> Fault | None:
        """Use the current fault for one request.

        Returns:
            The fault, or None when the request is to be answered as it deserves.
        """
        fault = self.current
        if fault is not None and fault.count is not None:
            self.current = replace(fault, count=fault.count - 1) if fault.count > 1 else None
        return fault

    def as_json(self) -> dict[str, Any]:
        """Write the current fault as JSON; an empty object when there is none."""
        return self.current.as_json() if self.current else {}


def parse_fault(given: object) -> Fault | None:
    """Read a fault from JSON.

    Args:
        given: An object with some of `status`, `retry_after`, `delay`, `cut` and `count`.

    Returns:
        The fault; None for an object that asks for nothing, which clears it.

    Raises:
        FaultError: It makes no sense.
    """
    if not isinstance(given, Mapping):
        raise FaultError('a fault is an object, for example {"status": 503, "count": 3}')
    if unknown := sorted(given.keys() - set(KEYS)):
        raise FaultError(f"unknown: {', '.join(unknown)}; a fault has {', '.join(KEYS)}")
    fault = Fault(
        status=_whole("status", given.get("status"), 400, 599),
        retry_after=_whole("retry_after", given.get("retry_after"), 0, MAX_RETRY_AFTER),
        delay=_delay(given.get("delay")),
        cut=_flag(given.get("cut")),
        count=_whole("count", given.get("count"), 1, 1_000_000),
    )
    _check_together(fault)
    return None if fault == Fault() else fault


def _check_together(fault: Fault) -> None:
    if fault.cut and fault.status is not None:
        raise FaultError("cut sends no answer, so it cannot have a status")
    if fault.retry_after is not None and fault.status is None:
        raise FaultError("retry_after needs a status to go with, for example 429")
    if fault.count is not None and fault == Fault(count=fault.count):
        raise FaultError("count needs something to count: a status, a delay or cut")


def _whole(name: str, value: object, low: int, high: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FaultError(f"{name} must be a whole number from {low} to {high}, not {value!r:.40}")
    return value


def _delay(value: object) -> float:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not _in_range(value):
        raise FaultError(f"delay must be 0 to {MAX_DELAY} seconds, not {value!r:.40}")
    return value


def _in_range(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= MAX_DELAY


def _flag(value: object) -> bool:
    if not isinstance(value, bool | None):
        raise FaultError(f"cut must be true or false, not {value!r:.40}")
    return bool(value)
