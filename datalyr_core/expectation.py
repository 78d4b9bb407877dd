"""What a test expects of events, and how to say what there was instead. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from datalyr_core.encoding import encode
from datalyr_core.event import DropReason, Event, clean_timestamp

Dropped = tuple[Event, DropReason, str]  # with the reason, for programs and for people

_FIELDS = ("user_id", "anonymous_id", "event_id", "properties", "context", "timestamp")
_MOST_LISTED = 20  # events in a message
_MOST_SHOWN = 200  # characters of one event's properties
_MISSING = object()


class Expectation:
    """Match events by name and by whatever else is said of them."""

    def __init__(self, name: str, expected: Mapping[str, Any]) -> None:
        """Sort out what is expected.

        Args:
            name: The event's name.
            expected: Fields of `Event` by name; anything else is a property. Mappings have
                to be there in part only, at every depth.
        """
        self.name = name
        self._fields = {key: value for key, value in expected.items() if key in _FIELDS}
        properties = {key: value for key, value in expected.items() if key not in _FIELDS}
        if properties:
            self._fields["properties"] = {**self._fields.get("properties", {}), **properties}

    def differences(self, event: Event) -> list[str]:
        """Say where an event differs, a line for each place; nothing if it matches."""
        if event.event != self.name:
            return [f"event: expected {self.name!r}, was {event.event!r}"]
        return [
            line
            for field, expected in self._fields.items()
            for line in _compared(field, getattr(event, field), expected)
        ]

    def matching(self, events: Sequence[Event]) -> list[Event]:
        """Return the events that match."""
        return [event for event in events if not self.differences(event)]

    def nearest(self, events: Sequence[Event]) -> tuple[int, list[str]] | None:
        """Find the event of that name that differs least: its number, and where it differs."""
        named = [
            (number, self.differences(event))
            for number, event in enumerate(events, 1)
            if event.event == self.name
        ]
        return min(named, key=lambda each: len(each[1]), default=None)

    def missing_from(self, events: Sequence[Event]) -> Iterator[str]:
        """Say what comes nearest, line by line, where nothing matches."""
        nearest = self.nearest(events)
        if nearest:
            number, differences = nearest
            yield f"nearest is number {number}:"
            yield from (f"  {line}" for line in differences)
            return
        close = difflib.get_close_matches(self.name, {event.event for event in events}, n=1)
        if close:
            yield f"did you mean {close[0]!r}?"


def listed(events: Sequence[Event], dropped: Sequence[Dropped] = ()) -> Iterator[str]:
    """List what was tracked and what was dropped, line by line."""
    yield f"tracked: {len(events) or 'nothing'}"
    left_out = max(len(events) - _MOST_LISTED, 0)
    if left_out:
        yield f"  … {left_out} before these"
    for number, event in list(enumerate(events, 1))[left_out:]:
        yield f"  {number}. {_shown(event)}"
    if dropped:
        yield f"dropped: {len(dropped)}"
        yield from (f"  {event.event!r}: {why} ({reason})" for event, reason, why in dropped)


def _compared(path: str, actual: Any, expected: Any) -> Iterator[str]:
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        for key, value in expected.items():
            yield from _compared(f"{path}.{key}", actual.get(str(key), _MISSING), value)
    elif actual is _MISSING:
        yield f"{path}: expected {expected!r}, was not there"
    # First as it is: unittest.mock.ANY and pytest.approx decide for themselves.
    elif actual != expected and actual != _as_sent(path, expected):
        yield f"{path}: expected {expected!r}, was {actual!r}"


def _as_sent(path: str, expected: Any) -> Any:
    """Give a value the form that it has in an event."""
    if path in ("user_id", "anonymous_id"):
        return str(expected) if isinstance(expected, int | UUID) else expected
    if path == "timestamp":
        return clean_timestamp(expected)
    return orjson.loads(encode(expected))


def _shown(event: Event) -> str:
    properties = {key: value for key, value in event.properties.items() if key != "anonymous_id"}
    told = repr(properties)
    if len(told) > _MOST_SHOWN:
        told = f"{told[:_MOST_SHOWN]}…"
    return f"{event.event!r} user_id={event.user_id!r} {told}"
