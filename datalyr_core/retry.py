"""What an answer means, and how long to wait before the next try. Pure: no clock, no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from enum import Enum

MAX_BACKOFF = 10.0  # seconds
MAX_RETRY_AFTER = 60.0  # seconds


class Outcome(Enum):
    """Say what became of one send."""

    DELIVERED = "delivered"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


def outcome_of(status: int) -> Outcome:
    """Classify a status: 2xx, what may go away by itself, and everything else."""
    if 200 <= status < 300:
        return Outcome.DELIVERED
    if status in (408, 429) or 500 <= status < 600:
        return Outcome.TRANSIENT
    return Outcome.PERMANENT


def backoff(failures: int, jitter: float) -> float:
    """Return how many seconds to wait after a failure.

    Args:
        failures: How many there have been in a row, the first being 1.
        jitter: A random number from 0 to 1, so that many clients do not retry in step.

    Returns:
        Half to all of min(2^n, 10) seconds, n counting from 0.
    """
    longest = min(2.0 ** min(failures - 1, 10), MAX_BACKOFF)
    return longest * (0.5 + 0.5 * jitter)


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """Read how many seconds the ingest asks to be left alone.

    Args:
        headers: The reply's headers.
        now: The time, in epoch seconds; that of the reply's own `Date` goes before it.

    Returns:
        Seconds from 0 to 60: `Retry-After` as seconds or HTTP date (RFC 9110, 10.2.3),
        failing that `X-RateLimit-Reset` as epoch seconds, else 0.
    """
    found = {str(name).lower(): str(value) for name, value in headers.items()}
    # The moments that the ingest names are by its own clock, and ours may be off by any amount.
    told = _moment(found.get("date", ""))
    now = now if told is None else told
    wait = _delay(found.get("retry-after", ""), now)
    if wait is None:
        reset = _number(found.get("x-ratelimit-reset", ""))
        wait = reset - now if reset is not None else 0.0
    return min(max(wait, 0.0), MAX_RETRY_AFTER)


def _delay(value: str, now: float) -> float | None:
    seconds = _number(value)
    if seconds is not None:
        return seconds
    moment = _moment(value)
    return None if moment is None else moment - now


def _moment(value: str) -> float | None:
    # It takes a while to import, which every client has it do; see `delivery.choice`.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(value)
        # "-0000" gives a naive time, which RFC 5322 says is UTC.
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    # More digits than a float can hold are a number all the same, and a very large one.
    return number if math.isfinite(number) or value.strip().isdigit() else None
