"""What `datalyr outbox status` says. Pure: it is given the time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from datalyr_core.outbox.reading import OutboxStatus, OwnerStatus

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def as_text(status: OutboxStatus, now: float) -> str:
    """Tell people what an outbox holds.

    Args:
        status: What was read.
        now: The time, in seconds since the epoch.
    """
    return "\n".join(_lines(status, now))


def _lines(status: OutboxStatus, now: float) -> Iterator[str]:
    yield f"outbox   {status.path}"
    yield f"tables   version {status.version}; {status.file_size:,} bytes with the log"
    yield f"waiting  {status.events:,} events, {status.size:,} bytes"
    if status.events:
        yield f"         {_of(status, alive=True):,} of living processes, which send them"
        yield f"         {_of(status, alive=False):,} of dead ones"
    if status.oldest is not None:
        yield f"oldest   {age(now - status.oldest)} (since {_moment(status.oldest)})"
        yield from _why(status)
    keys = {owner.sink for owner in status.owners if owner.events}
    for owner in status.owners:
        yield f"process  {_owner(owner, now)}{f', key {owner.sink[:6]}' if len(keys) > 1 else ''}"


def _why(status: OutboxStatus) -> Iterator[str]:
    """Tell why the oldest waits, where its process has said so."""
    oldest = next(owner for owner in status.owners if owner.oldest == status.oldest)
    if oldest.trouble:
        yield f"because  {printable(oldest.trouble)}"


def printable(text: str) -> str:
    """Replace what a server may have sent to reach a terminal as an escape sequence."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _owner(owner: OwnerStatus, now: float) -> str:
    told = f"{owner.pid} {'lives' if owner.alive else 'is dead'}: {owner.events:,} events"
    return told if owner.oldest is None else f"{told}, the oldest {age(now - owner.oldest)}"


def _of(status: OutboxStatus, *, alive: bool) -> int:
    return sum(owner.events for owner in status.owners if owner.alive is alive)


def as_dict(status: OutboxStatus, now: float) -> dict[str, Any]:
    """Tell programs what an outbox holds; times are seconds.

    Args:
        status: What was read.
        now: The time, in seconds since the epoch.
    """
    return {
        "path": str(status.path),
        "version": status.version,
        "file_bytes": status.file_size,
        "events": status.events,
        "bytes": status.size,
        "events_of_living": _of(status, alive=True),
        "events_of_dead": _of(status, alive=False),
        "oldest_age": _since(status.oldest, now),
        "processes": [
            {
                "owner": owner.owner,
                "pid": owner.pid,
                "alive": owner.alive,
                "since": owner.since,
                "key": owner.sink[:6],
                "events": owner.events,
                "bytes": owner.size,
                "oldest_age": _since(owner.oldest, now),
                "trouble": owner.trouble,
            }
            for owner in status.owners
        ],
    }


def problems(
    status: OutboxStatus, now: float, max_age: float | None, max_events: int | None
) -> list[str]:
    """Tell which bounds are exceeded.

    Args:
        status: What was read.
        now: The time, in seconds since the epoch.
        max_age: How many seconds an event may wait; None for any.
        max_events: How many may wait; None for any.
    """
    told = []
    waited = _since(status.oldest, now)
    if max_age is not None and waited is not None and waited > max_age:
        told.append(f"an event has waited {age(waited)}, longer than {age(max_age)}")
    if max_events is not None and status.events > max_events:
        told.append(f"{status.events:,} events wait, more than {max_events:,}")
    return told


def age(seconds: float) -> str:
    """Write a time span with its two largest units."""
    left = max(int(seconds), 0)
    told: list[str] = []
    for size, unit in _UNITS:
        if left >= size or told or unit == "s":
            told.append(f"{left // size} {unit}")
            left %= size
    return " ".join(told[:2])


def _since(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(round(now - moment, 3), 0.0)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
