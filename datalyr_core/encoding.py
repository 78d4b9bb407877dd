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
# Dataclasses and datetimes can run an application's code, so orjson leaves them to us.
_NATIVE = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
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
        return orjson.dumps(value, option=_NATIVE)
    except TypeError:  # orjson's JSONEncodeError is one
        return orjson.dumps(plain(value))


def plain(value: object) -> Any:
    """Turn a value into a tree of dicts, lists, strings, numbers, booleans and None.

    Args:
        value: Anything. Decimals stay exact numbers; dates become ISO 8601; UUIDs and
            lazy strings become strings; an Enum becomes its value; iterables become
            lists; dataclasses, attrs and pydantic objects become dicts; bytes become
            text or base64; NaN and infinities become None; integers beyond 64 bits and
            keys become strings; lone surrogates are replaced; cycles and what lies
            deeper than `MAX_DEPTH` become None.

    Returns:
        The tree, sharing nothing mutable with `value`.
    """
    told = _guarded(value, ())
    return None if told is _LEFT_OUT else told


def well_formed(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot carry, and join paired ones."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_Trail = tuple[int, ...]  # the ids of the containers above a value


def _guarded(value: object, trail: _Trail) -> Any:
    """Tell a value, or that it has to be left out: application code may raise anything."""
    if len(trail) > MAX_DEPTH or id(value) in trail:
        return None
    try:
        return _plain(value, trail)
    except Exception as error:
        logger.warning(
            "a property of type %s cannot be encoded (%s) and was left out",
            type(value).__name__,
            type(error).__name__,
        )
        return _LEFT_OUT


@singledispatch
def _plain(value: Any, trail: _Trail) -> Any:
    """Tell an object that has no rule by its type, by what it can do."""
    if isinstance(value, type):
        return str(value)
    fields = _fields(value)
    if fields is not None:
        return _mapping(fields, trail)
    # What can be case-folded is text by another name: UserString, a lazy translation.
    if isinstance(value, Iterable) and not hasattr(type(value), "casefold"):
        return _sequence(islice(iter(value), MAX_ITEMS), (*trail, id(value)))
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
def _none(value: None, trail: _Trail) -> None:
    return None


@_plain.register
def _text(value: str, trail: _Trail) -> str:
    return well_formed(str.__str__(value))


@_plain.register
def _boolean(value: bool, trail: _Trail) -> bool:
    return value


@_plain.register
def _integer(value: int, trail: _Trail) -> int | str:
    number = int(value)
    return number if -(2**63) <= number < 2**64 else str(number)


@_plain.register
def _float(value: float, trail: _Trail) -> float | None:
    return float(value) if math.isfinite(value) else None


@_plain.register
def _decimal(value: Decimal, trail: _Trail) -> orjson.Fragment | None:
    # Its own digits are a JSON number; a float would round money. Beyond a float's
    # range no reader could hold it.
    if value.is_finite() and math.isfinite(float(value)):
        return orjson.Fragment(str(value))
    return None


@_plain.register
def _enum(value: Enum, trail: _Trail) -> Any:
    return _plain(value.value, trail)


@_plain.register(datetime)
@_plain.register(date)
@_plain.register(time)
def _moment(value: date | time, trail: _Trail) -> str:
    return value.isoformat()


@_plain.register
def _uuid(value: UUID, trail: _Trail) -> str:
    return str(value)


@_plain.register(bytes)
@_plain.register(bytearray)
@_plain.register(memoryview)
def _binary(value: bytes | bytearray | memoryview, trail: _Trail) -> str:
    raw = bytes(value)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode("ascii")


@_plain.register(list)
@_plain.register(tuple)
def _array(value: list[Any] | tuple[Any, ...], trail: _Trail) -> list[Any]:
    return _sequence(list(value), (*trail, id(value)))


def _sequence(values: Iterable[Any], trail: _Trail) -> list[Any]:
    told = (_guarded(value, trail) for value in values)
    # A place in a list is kept, so that the others do not move up.
    return [None if value is _LEFT_OUT else value for value in told]


@_plain.register(Mapping)
def _mapping(value: Mapping[Any, Any], trail: _Trail) -> dict[str, Any]:
    trail = (*trail, id(value))
    told = {}
    for key, item in _items(value):
        name, content = _guarded(key, trail), _guarded(item, trail)
        if name is not _LEFT_OUT and content is not _LEFT_OUT:
            told[_key(name)] = content
    return told


def _items(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Copy a mapping's items; one that another thread is changing is read again."""
    for _ in range(10):
        try:
            return list(value.items())
        except RuntimeError:  # "changed size during iteration"
            continue
    return list(value.items())


def _key(name: Any) -> str:
    """Write a plain value as a key, as JSON would write it as a value."""
    if isinstance(name, str):
        return name
    if isinstance(name, orjson.Fragment | bool | type(None)):
        return orjson.dumps(name).decode()
    return str(name)
