"""Mapping: an event out of the values of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import orjson

from datalyr_core import calls
from datalyr_core.errors import shown
from datalyr_core.event import Event, clean_event_id, clean_timestamp, is_moment
from datalyr_core.importing.rows import Halt, Refused, Row

# What a row can say, and the names under which it is found where none is mapped: ours, those
# of the wire, and those of other tools' exports.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "type": ("type",),
    "event": ("event",),
    "user_id": ("user_id", "userId"),
    "anonymous_id": ("anonymous_id", "anonymousId"),
    "event_id": ("event_id", "eventId", "messageId"),
    "timestamp": ("timestamp",),
    "properties": ("properties",),
    "traits": ("traits",),
    "name": ("name",),
    "group_id": ("group_id", "groupId"),
    "previous_id": ("previous_id", "previousId"),
    "value": ("value",),
    "currency": ("currency",),
}
REST = "*"
_PREFIX = "properties."
_EPOCH = re.compile(r"-?\d{9,}(\.\d+)?\Z")  # eight digits may be a date without its dashes
_WHOLE = re.compile(r"[+-]?\d+\Z")
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0"}


@dataclass(frozen=True)
class Columns:
    """Hold where the fields of an event are found.

    Attributes:
        fields: A column by field, where its name is not the field's.
        properties: Column and kind (`text`, `number`, `bool`, `json`) by property.
        constants: A value by field, for rows that have none.
        rest: Whether every other column is a property.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    rest: bool = False

    def check(self, header: Iterable[str]) -> None:
        """Check that columns are there.

        Raises:
            Halt: One is not, or no column says what the events are.
        """
        known = list(header)
        wanted = [*self.fields.values(), *(column for column, _ in self.properties.values())]
        for column in wanted:
            if column not in known:
                raise Halt(f"there is no column {column!r}; there are {', '.join(known)}")
        says = {"event", "type"} & {*known, *self.fields, *self.constants}
        if not says:
            raise Halt(
                "no column is named event; write --map event=COLUMN, or --set event=NAME "
                f"for all; there are {', '.join(known)}"
            )

    def event(self, row: Row) -> Event:
        """Make the event of a row.

        Raises:
            Refused: It makes none.
        """
        values = row.load()
        told = {name: self._found(values, name) for name in FIELDS}
        kind = told["type"] or "track"
        call = _CALLS.get(kind) if isinstance(kind, str) else None
        if call is None:
            raise Refused(f"the type is none of {', '.join(_CALLS)}: {shown(kind)}")
        told["properties"] = self._properties(values, told)
        told["value"] = _converted(told["value"], "number", "value")
        try:
            event = call(told)
        except Exception as error:  # as when it is tracked
            raise Refused(calls.reason(error)) from error
        event.event_id = _event_id(told["event_id"], row)
        event.timestamp = _timestamp(told["timestamp"])
        return event

    def _found(self, values: Mapping[str, Any], name: str) -> Any:
        names = (self.fields[name],) if name in self.fields else FIELDS[name]
        found = (values[each] for each in names if values.get(each) not in (None, ""))
        return next(found, self.constants.get(name))

    def _properties(self, values: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
        properties = _object("properties", told["properties"]) | _object("traits", told["traits"])
        for column, value in values.items():
            if column.startswith(_PREFIX) and value != "":
                properties[column.removeprefix(_PREFIX)] = value
            elif self.rest and column not in self._taken and value != "":
                properties[column] = value
        for name, (column, kind) in self.properties.items():
            value = values.get(column)
            if value not in (None, ""):
                properties[name] = _converted(value, kind, column)
        return properties

    @cached_property
    def _taken(self) -> set[str]:
        """What is something else than a property of its own name."""
        named = {name for names in FIELDS.values() for name in names}
        mapped = {column for column, _ in self.properties.values()}
        return named | mapped | set(self.fields.values())


def _track(told: Mapping[str, Any]) -> Event:
    return calls.track(
        told["user_id"],
        told["event"],
        told["properties"],
        anonymous_id=told["anonymous_id"],
    )


def _identify(told: Mapping[str, Any]) -> Event:
    return calls.identify(told["user_id"], told["properties"], anonymous_id=told["anonymous_id"])


def _page(told: Mapping[str, Any]) -> Event:
    return calls.page(
        told["user_id"], told["name"], told["properties"], anonymous_id=told["anonymous_id"]
    )


def _alias(told: Mapping[str, Any]) -> Event:
    return calls.alias(told["user_id"], told["previous_id"], anonymous_id=told["anonymous_id"])


def _group(told: Mapping[str, Any]) -> Event:
    return calls.group(
        told["user_id"],
        told["group_id"],
        told["properties"],
        anonymous_id=told["anonymous_id"],
    )


def _purchase(told: Mapping[str, Any]) -> Event:
    return calls.track_purchase(
        told["user_id"],
        told["value"],
        told["currency"],
        told["properties"],
        anonymous_id=told["anonymous_id"],
    )


_CALLS: Mapping[str, Callable[[Mapping[str, Any]], Event]] = {
    "track": _track,
    "identify": _identify,
    "page": _page,
    "alias": _alias,
    "group": _group,
    "purchase": _purchase,
}


def _object(name: str, value: Any) -> dict[str, Any]:
    """Return properties as an object, also those that a CSV cell holds as JSON."""
    if value is None:
        return {}
    if isinstance(value, str):
        value = _converted(value, "json", name)
    if not isinstance(value, dict):
        raise Refused(f"{name} must be a JSON object, not {shown(value)}")
    return value


def _converted(value: Any, kind: str, column: str) -> Any:
    """Turn a cell's text into what it stands for; what is no text is something already."""
    if not isinstance(value, str) or kind == "text":
        return value
    try:
        return _CONVERT[kind](value)
    except (ValueError, KeyError, InvalidOperation):
        raise Refused(f"{column} holds no {kind}: {shown(value)}") from None


def _number(text: str) -> int | Decimal:
    if _WHOLE.match(text.strip()):
        return int(text)
    number = Decimal(text.strip())
    if not number.is_finite():
        raise ValueError(text)
    return number


def _bool(text: str) -> bool:
    word = text.strip().lower()
    return {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}[word]


_CONVERT: Mapping[str, Callable[[str], Any]] = {
    "number": _number,
    "bool": _bool,
    "json": orjson.loads,
}
KINDS = ("text", *_CONVERT)


def _event_id(value: Any, row: Row) -> str:
    """Return the row's own id, or one that is the same whenever the same file is imported."""
    if value is None:
        return f"import_{row.mark}"
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise Refused(f"an event id must be a string, not {shown(value)}")
    return clean_event_id(value)


def _timestamp(value: Any) -> str:
    if isinstance(value, str) and _EPOCH.match(value.strip()):
        value = float(value)
    if value is not None and not is_moment(value):
        raise Refused(f"the timestamp is no moment: {shown(value)}")
    return clean_timestamp(value)
