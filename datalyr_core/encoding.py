"""JSON for whatever an application puts into an event: total, and decided at the call.

Plain JSON values take orjson's own path. Anything else takes a second, slower path that
turns it into plain values first, by the rules of `_plain`. There is no `default=` callback:
it would run Python code, and so other threads, while orjson walks a dict that they may change.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import singledispatch
from itertools import islice
from typing import Any
from uuid import UUID

import orjson

logger = logging.getLogger("datalyr.encoding")

MAX_DEPTH = 100
MAX_ITEMS = 10_000  # of one iterable that is no list: it may be endless
MAX_VALUES = 100_000  # of one event; objects that refer to each other can make a few endless
# orjson's result keeps the buffer in which it was made, 4 KiB for an event of 400 bytes, and
# thousands of events may wait. A slice is as long as it is, and a newline gives one to cut off.
_TO_BE_CUT = orjson.OPT_APPEND_NEWLINE
# Dataclasses and datetimes can run an application's code, so orjson leaves them to us.
_NATIVE = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | _TO_BE_CUT
_LEFT_OUT = object()


def encode(value: object) -> bytes:
    """Encode a value as UTF-8 JSON, whatever is in it.

    Args:
        value: Anything; see `plain` for what becomes of values that JSON does not have.

    Returns:
        The JSON text. It never raises: what cannot be told even by `str()` is left out
        with a warning.
    """
    try:
        return orjson.dumps(value, option=_NATIVE)[:-1]
    except TypeError:  # orjson's JSONEncodeError is one
        return orjson.dumps(plain(value), option=_TO_BE_CUT)[:-1]


def plain(value: object) -> Any:
    """Turn a value into a tree of dicts, lists, strings, numbers, booleans and None.

    Args:
        value: Anything. Decimals stay exact numbers; dates become ISO 8601; UUIDs and
            lazy strings become strings; an Enum becomes its value; iterables become
            lists; dataclasses, attrs and pydantic objects become dicts; bytes become
            text or base64; NaN and infinities become None; integers beyond 64 bits and
            keys become strings; lone surrogates are replaced; cycles, what lies deeper
            than `MAX_DEPTH` and what comes after `MAX_VALUES` become None.

    Returns:
        The tree, sharing nothing mutable with `value`.
    """
    told = _guarded(value, _Walk())
    return None if told is _LEFT_OUT else told


def snapshot(value: object) -> Any:
    """Do as `plain`, but leave Decimals: for a value that is looked at before it is encoded."""
    told = _guarded(value, _Walk(keep_decimals=True))
    return None if told is _LEFT_OUT else told


def well_formed(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot carry, and join paired ones."""
    text = str.__str__(text)  # exactly a str, whatever a subclass makes of it
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Walk:
    """Keep what one walk through a value must know: where it is, and how far it may go."""

    __slots__ = ("above", "keep_decimals", "left")

    def __init__(self, *, keep_decimals: bool = False) -> None:
        self.above: list[int] = []  # the ids of the containers above a value
        self.left = MAX_VALUES
        self.keep_decimals = keep_decimals


def _guarded(value: object, walk: _Walk) -> Any:
    """Tell a value, or that it has to be left out: application code may raise anything."""
    if len(walk.above) > MAX_DEPTH or id(value) in walk.above:
        return None
    walk.left -= 1
    if walk.left < 0:
        return _cut(walk)
    walk.above.append(id(value))
    try:
        if not issubclass(type(value), value.__class__):
            value = _revealed(value)
        return _plain(value, walk)
    except Exception as error:
        logger.warning(
            "a property of type %s cannot be encoded (%s) and was left out",
            type(value).__name__,
            type(error).__name__,
        )
        return _LEFT_OUT
    finally:
        walk.above.pop()


def _cut(walk: _Walk) -> None:
    if walk.left == -1:  # the first of them
        logger.warning("an event has more than %d values; what lies beyond is null", MAX_VALUES)


def _revealed(value: Any) -> Any:
    """Tell what a lazy proxy stands for, by its text: few of them have all of its methods."""
    claimed = value.__class__
    if issubclass(claimed, Enum):
        return value.value
    if issubclass(claimed, bool):
        return bool(value)
    for kind in (str, int, float, Decimal):
        if issubclass(claimed, kind):
            return kind(str(value))
    return value


@singledispatch
def _plain(value: Any, walk: _Walk) -> Any:
    """Tell an object that has no rule by its type, by what it can do."""
    if isinstance(value, type):
        return well_formed(str(value))
    fields = _fields(value)
    if fields is not None:
        return _mapping(fields, walk)
    # What can be case-folded is text by another name: UserString, a lazy translation.
    if isinstance(value, Iterable) and not hasattr(type(value), "casefold"):
        return _sequence(islice(iter(value), MAX_ITEMS), walk)
    return well_formed(str(value))


def _fields(value: Any) -> dict[str, Any] | None:
    """Read the fields of a dataclass, an attrs object or a pydantic model."""
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(type(value), "__attrs_attrs__"):
        names = [field.name for field in type(value).__attrs_attrs__]
    elif callable(getattr(type(value), "model_dump", None)):
        dumped: dict[str, Any] = value.model_dump()
        return dumped
    else:
        return None
    return {name: getattr(value, name) for name in names}


@_plain.register
def _none(value: None, walk: _Walk) -> None:
    return None


@_plain.register
def _text(value: str, walk: _Walk) -> str:
    return well_formed(value)


@_plain.register
def _boolean(value: bool, walk: _Walk) -> bool:
    return value


@_plain.register
def _integer(value: int, walk: _Walk) -> int | str:
    number = int.__int__(value)
    return number if -(2**63) <= number < 2**64 else str(number)


@_plain.register
def _float(value: float, walk: _Walk) -> float | None:
    number = float.__float__(value)
    return number if math.isfinite(number) else None


@_plain.register
def _decimal(value: Decimal, walk: _Walk) -> orjson.Fragment | Decimal | None:
    if walk.keep_decimals:
        return value
    # Its own digits are a JSON number; a float would round money. Beyond a float's
    # range no reader could hold it.
    if Decimal.is_finite(value) and math.isfinite(Decimal.__float__(value)):
        return orjson.Fragment(Decimal.__str__(value))
    return None


@_plain.register
def _enum(value: Enum, walk: _Walk) -> Any:
    return _guarded(value.value, walk)


@_plain.register(datetime)
@_plain.register(date)
@_plain.register(time)
def _moment(value: date | time, walk: _Walk) -> str:
    return well_formed(str(value.isoformat()))


@_plain.register
def _uuid(value: UUID, walk: _Walk) -> str:
    return well_formed(str(value))


@_plain.register(bytes)
@_plain.register(bytearray)
@_plain.register(memoryview)
def _binary(value: bytes | bytearray | memoryview, walk: _Walk) -> str:
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii")


@_plain.register(list)
@_plain.register(tuple)
def _array(value: list[Any] | tuple[Any, ...], walk: _Walk) -> list[Any]:
    return _sequence(list(value), walk)


def _sequence(values: Iterable[Any], walk: _Walk) -> list[Any]:
    told = (_guarded(value, walk) for value in values)
    # A place in a list is kept, so that the others do not move up.
    return [None if value is _LEFT_OUT else value for value in told]


@_plain.register(Mapping)
def _mapping(value: Mapping[Any, Any], walk: _Walk) -> dict[str, Any]:
    told = {}
    for key, item in _items(value):
        name, content = _name(key, walk), _guarded(item, walk)
        if name is not _LEFT_OUT and content is not _LEFT_OUT:
            told[name] = content
    return told


def _items(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Copy a mapping's items; one that another thread is changing is read again."""
    for _ in range(10):
        try:
            return list(value.items())
        except RuntimeError:  # "changed size during iteration"
            continue
    return list(value.items())


def _name(key: Any, walk: _Walk) -> Any:
    """Write a key as text: a string is what it is, however deep its mapping lies."""
    if issubclass(type(key), str):
        return well_formed(key)
    name = _guarded(key, walk)
    if isinstance(name, orjson.Fragment | bool | list | dict | type(None)):
        return orjson.dumps(name).decode()  # as JSON would write it as a value
    return name if name is _LEFT_OUT else str(name)
