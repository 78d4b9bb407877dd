"""The event: the envelope that each call fills, its ids and its time."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import orjson

from datalyr_core.encoding import encode, well_formed
from datalyr_core.identity import new_id
from datalyr_core.version import __version__

Timestamp = str | float | Decimal | datetime | date | None

LIBRARY = "datalyr-python"
MAX_EVENT_ID = 256  # UTF-16 code units, as the Node SDK counts
_last_second = (-1, "")  # that `now` wrote
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DropReason(StrEnum):
    """Say why an event was given up for good."""

    VALIDATION_ERROR = "validation_error"
    QUEUE_OVERFLOW = "queue_overflow"
    PERMANENT_CLIENT_ERROR = "permanent_client_error"
    MAX_FLUSH_ATTEMPTS = "max_flush_attempts"
    CLOSE_TIMEOUT = "close_timeout"
    CLOSED = "closed"
    CONSENT = "consent"
    BEFORE_SEND = "before_send"


class DropCounts(dict[str, int]):
    """Count events by the reason why they were dropped: a plain mapping, 0 of what is not in it."""

    def __missing__(self, reason: str) -> int:
        """Return 0."""
        return 0


CONTEXT = {"library": LIBRARY, "version": __version__, "source": "api", "schema_version": 1}


@dataclass(slots=True)
class Event:
    """Hold one event, as hooks see it; `before_send` may change it.

    Attributes:
        event: The event's name.
        user_id: The user's id, or None when unknown.
        anonymous_id: The visitor's id.
        event_id: The ingest's de-duplication key.
        properties: What the caller said of the event.
        context: Which library sent it.
        timestamp: When it happened: ISO 8601, UTC, milliseconds.
    """

    event: str
    user_id: str | None = None
    anonymous_id: str = ""
    event_id: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=CONTEXT.copy)
    timestamp: str = ""

    def to_body(self) -> bytes:
        """Encode the event as the ingest takes it."""
        wire = {
            "event": self.event,
            "userId": self.user_id,
            "anonymousId": self.anonymous_id,
            "eventId": self.event_id,
            "properties": {**self.properties, "anonymous_id": self.anonymous_id},
            "context": self.context,
            "timestamp": self.timestamp,
        }
        if self.user_id is None:
            del wire["userId"]
        return encode(wire)

    @classmethod
    def from_body(cls, body: bytes) -> Event:
        """Read an event back from its body."""
        wire = orjson.loads(body)
        return cls(
            wire["event"],
            wire.get("userId"),
            wire["anonymousId"],
            wire["eventId"],
            wire["properties"],
            wire["context"],
            wire["timestamp"],
        )


def marked_as_delayed(body: bytes, seconds: int) -> bytes:
    """Say in an event's context how long it waited to be sent.

    The body is not read and written again, which would change numbers that JSON readers
    round. A quotation mark in a string has a backslash before it, so what is looked for is
    the end of the context, and the last one that of the event.

    Args:
        body: The event, as `Event.to_body` made it.
        seconds: How long it waited.
    """
    context, end, timestamp = body.rpartition(b'},"timestamp":')
    if not end:  # pragma: no cover - not one of ours; somebody has written into the file
        return body
    comma = b"" if context.endswith(b"{") else b","
    return b'%b%b"delayed_s":%d%b%b' % (context, comma, seconds, end, timestamp)


def clean_event_id(value: object) -> str:
    """Return the caller's event id, shortened where it is over-long, or a fresh one."""
    if value is None or not isinstance(value, str) or not value.strip():
        return new_id()
    if value.isascii() and len(value) <= MAX_EVENT_ID:
        return value
    value = well_formed(value)
    units = value.encode("utf-16-le")
    if len(units) <= 2 * MAX_EVENT_ID:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()
    prefix = units[: 2 * (MAX_EVENT_ID - len(digest) - 1)].decode("utf-16-le", "replace")
    return f"{prefix}-{digest}"


def clean_timestamp(value: object) -> str:
    """Write a moment as ISO 8601 in UTC, cut to milliseconds; what is no moment is now."""
    moment = None if value is None else read_moment(value)
    if moment is None:
        return now()
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def now() -> str:
    """Write this moment as `clean_timestamp` does."""
    global _last_second
    moment = time.time_ns() // 1_000_000
    second, milliseconds = moment // 1000, moment % 1000
    then, text = _last_second
    if then != second:  # most events come in the second of the one before
        text = datetime.fromtimestamp(second, UTC).isoformat()[:-6]
        _last_second = (second, text)  # both at once: other threads read it
    # A format takes longer than all the rest, and one of ten needs it.
    return f"{text}.{milliseconds}Z" if milliseconds > 99 else f"{text}.{milliseconds:03d}Z"


def is_moment(value: object) -> bool:
    """Tell whether `clean_timestamp` would take a value for what it says."""
    return read_moment(value) is not None


def read_moment(value: object) -> datetime | None:
    """Read what a timestamp may be as a moment in UTC; None if it is no moment."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return _moment(value)
    except Exception:  # no date, none that a year of four digits can hold, a broken zone
        return None


def _moment(value: object) -> datetime | None:
    if isinstance(value, int | float | Decimal):
        milliseconds = value * 1000 if value < 1e12 else value
        return _EPOCH + timedelta(milliseconds=int(milliseconds))
    if isinstance(value, str):
        value = _read_iso(value.strip())
    if isinstance(value, datetime):
        return value.astimezone(UTC)  # a naive one is local time, as in the standard library
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None


def _read_iso(text: str) -> date | None:
    if text.isdigit():  # an epoch, or a date without its dashes: nobody can tell
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)
