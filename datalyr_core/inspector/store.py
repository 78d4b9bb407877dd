"""Keep the newest of what arrived, within a bound, and know a repeated event id.

Belongs to one event loop: nothing here waits, and nothing is locked.
"""

from __future__ import annotations

import itertools
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from .contract import MAX_EVENT_ID, Reading
from .wire_json import encode

MAX_BYTES = 16 * 1024 * 1024
REMEMBERED_IDS = 50_000
REPEAT_WINDOW = 6 * 3600
NAMES = ("event", "eventId", "anonymousId", "userId")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the feed: an event that was accepted, or an attempt that was not.

    Attributes:
        seq: Its number; later entries have higher ones, also after a clear.
        kind: `event` or `attempt`.
        view: What the API and the page show of it.
        size: Roughly how many bytes it takes.
    """

    seq: int
    kind: str
    view: dict[str, Any]
    size: int


@dataclass(slots=True)
class Counts:
    """How much arrived since the last clear, evicted entries included."""

    total: int = 0
    duplicates: int = 0
    violations: int = 0
    requests: int = 0
    faulted: int = 0


class Store:
    """The newest entries and the event ids of the last six hours.

    Args:
        max_events: How many entries to keep.
        max_bytes: How many bytes of them to keep, roughly.
        clock: The time in epoch seconds.
    """

    def __init__(
        self,
        max_events: int = 2000,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.max_events = max_events
        self._max_bytes = max_bytes
        self._clock = clock
        self._numbers = itertools.count(1)
        self.clear()

    def clear(self) -> None:
        """Forget everything; numbers go on, and a new era tells readers to start again."""
        self.era = secrets.token_hex(4)
        self.counts = Counts()
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._seen: OrderedDict[str, float] = OrderedDict()

    def add_event(self, reading: Reading) -> Entry:
        """Keep an event.

        Args:
            reading: A reading that has an event.

        Returns:
            Its entry.
        """
        event = reading.event or {}
        duplicate = self._is_repeated(event.get("eventId"))
        self.counts.total += 1
        self.counts.duplicates += duplicate
        self._count_violations(reading)
        view = {"event": event, "duplicate": duplicate, **_about(reading)}
        return self._add("event", view)

    def add_attempt(self, reading: Reading, answer: str, *, fault: bool) -> Entry:
        """Keep the trace of a request that was not accepted.

        Args:
            reading: What the request said.
            answer: What it was answered, in words.
            fault: Whether that was a fault and not its own mistake.

        Returns:
            Its entry.
        """
        if fault:
            self.counts.faulted += 1
        else:
            self._count_violations(reading)
        event = reading.event or {}
        names = {key: _short(event.get(key)) for key in NAMES}
        return self._add("attempt", {"answer": answer, "fault": fault, **names, **_about(reading)})

    def since(self, seq: int) -> list[Entry]:
        """List what came after an entry.

        Args:
            seq: The number of that entry; 0 for all.

        Returns:
            The entries that are still kept, oldest first.
        """
        newer = itertools.takewhile(lambda entry: entry.seq > seq, reversed(self._entries))
        return list(newer)[::-1]

    def counters(self) -> dict[str, int]:
        """Write the counts as JSON."""
        return asdict(self.counts)

    def _count_violations(self, reading: Reading) -> None:
        self.counts.violations += bool(reading.violations)

    def _is_repeated(self, event_id: object) -> bool:
        if not isinstance(event_id, str) or not event_id or len(event_id) > MAX_EVENT_ID:
            return False
        self._forget_old_ids()
        if event_id in self._seen:
            return True
        self._seen[event_id] = self._clock()
        return False

    def _forget_old_ids(self) -> None:
        horizon = self._clock() - REPEAT_WINDOW
        while self._seen and next(iter(self._seen.values())) <= horizon:
            self._seen.popitem(last=False)
        while len(self._seen) >= REMEMBERED_IDS:
            self._seen.popitem(last=False)

    def _add(self, kind: str, view: dict[str, Any]) -> Entry:
        seq = next(self._numbers)
        now = datetime.fromtimestamp(self._clock(), UTC)
        received_at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        numbered = {"seq": seq, "received_at": received_at, **view}
        entry = Entry(seq, kind, numbered, len(encode(numbered)))
        self._entries.append(entry)
        self._bytes += entry.size
        self._evict()
        return entry

    def _evict(self) -> None:
        while len(self._entries) > self.max_events or self._bytes > self._max_bytes:
            self._bytes -= self._entries.popleft().size


def _about(reading: Reading) -> dict[str, Any]:
    return {"violations": list(reading.violations), "key": reading.key}


def _short(value: object) -> str | None:
    return value[:MAX_EVENT_ID] if isinstance(value, str) else None
