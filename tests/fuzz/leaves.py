"""Values and keys that contain nothing, each with the JSON that it must become."""

from __future__ import annotations

import base64
import math
import re
import uuid
from collections import UserString
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson

from tests.fuzz.objects import Hostile, Kind, Lazy, Level, Liar, Loud, Number, Priced, Text
from tests.fuzz.supply import Supply

Built = tuple[Any, Any]
LEFT_OUT = object()  # what is expected of a value that not even `str()` can tell
_TOO_LONG = 10**4300  # more digits than the interpreter writes


def as_utf8(text: str) -> str:
    """Tell what UTF-8 can carry of a text: pairs of surrogates joined, lone ones replaced."""
    told, at = "", 0
    while at < len(text):
        pair = text[at : at + 2]
        if re.fullmatch("[\ud800-\udbff][\udc00-\udfff]", pair):
            told += chr(0x10000 + ((ord(pair[0]) - 0xD800) << 10) + ord(pair[1]) - 0xDC00)
            at += 2
        else:
            told += "\ufffd" if "\ud800" <= text[at] <= "\udfff" else text[at]
            at += 1
    return told


def text(supply: Supply) -> Built:
    said = supply.text(12)
    return supply.one_of((str, Text, UserString, Lazy))(said), as_utf8(said)


def number(supply: Supply) -> Built:
    said = supply.number()
    return said, said if math.isfinite(said) else None


def integer(supply: Supply) -> Built:
    said = supply.integer() << supply.one_of((0, 0, 0, 1, 30, 300, 2000))
    kept: Any = said if -(2**63) <= said < 2**64 else str(said)
    return supply.one_of((int, Number))(said), kept


def decimal(supply: Supply) -> Built:
    special = supply.one_of((None, None, None, "NaN", "sNaN12", "-Infinity", "-0", "0E-9999"))
    digits = tuple(each % 10 for each in supply.take(30)) or (0,)
    exponent = supply.byte() - 128
    exponent *= supply.one_of((1, 0, 3, 10_000))
    said = Decimal(special) if special else Decimal((supply.byte() % 2, digits, exponent))
    fits = said.is_finite() and math.isfinite(float(said))
    return said, said if fits else None


def moment(supply: Supply) -> Built:
    minutes = int.from_bytes(supply.take(2), "big") % 2879 - 1439
    zone = supply.one_of((None, timezone(timedelta(minutes=minutes))))
    year, hour, fraction = 1 + supply.byte() * 39, supply.byte() % 24, supply.byte()
    said = datetime(year, 1, 1, hour, microsecond=fraction, tzinfo=zone)
    parts: tuple[Any, ...] = (said, said.date(), said.timetz(), date.max, time.min)
    chosen = supply.one_of(parts)
    return chosen, chosen.isoformat()


def binary(supply: Supply) -> Built:
    raw = supply.take(12)
    try:
        told = raw.decode()
    except UnicodeDecodeError:
        told = base64.b64encode(raw).decode()
    return supply.one_of((bytes, bytearray, memoryview))(raw), told


_CONSTANTS: tuple[Built, ...] = (
    (None, None), (True, True), (False, False), (Level.HIGH, 3), (Kind.NEW, "new"),
    (Priced.OLD, Decimal("1.50")), (Priced.NONE, None), (..., "Ellipsis"),
    (int, "<class 'int'>"), (2**64, str(2**64)), (-(2**63) - 1, str(-(2**63) - 1)),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (ValueError("a\ud800"), "a\ufffd"), (complex(1, 2), "(1+2j)"), (range(2), [0, 1]),
    (_TOO_LONG, LEFT_OUT), (Loud("a\udfff"), "a\ufffd"), (timedelta(seconds=1), "0:00:01"),
)  # fmt: skip


def constant(supply: Supply) -> Built:
    return supply.one_of(_CONSTANTS)


def hostile(supply: Supply) -> Built:
    return supply.one_of((Hostile, Liar))(), LEFT_OUT


# Keys, which are a set's members too: a key, its name, and what is told of it as a value.

Key = tuple[Any, Any, Any]


def text_key(supply: Supply) -> Key:
    said = supply.text(6)
    return supply.one_of((str, Text))(said), as_utf8(said), as_utf8(said)


def integer_key(supply: Supply) -> Key:
    said, told = integer(supply)
    return said, str(int(said)), told


def number_key(supply: Supply) -> Key:
    said, told = number(supply)
    return said, "null" if told is None else str(said), told


def decimal_key(supply: Supply) -> Key:
    said, told = decimal(supply)
    if said.is_snan():  # it has no hash
        said = Decimal("NaN")
    return said, "null" if told is None else str(said), told


def pair_key(supply: Supply) -> Key:
    (first, _, left), (second, _, right) = (supply.one_of(KEYS[:5])(supply) for _ in range(2))
    told = [None if each is LEFT_OUT else each for each in (left, right)]
    return (first, second), as_json(told), told


_CONSTANT_KEYS: tuple[Key, ...] = (
    (None, "null", None), (True, "true", True), (b"\xff", "/w==", "/w=="), (b"a", "a", "a"),
    (date(2026, 7, 1), "2026-07-01", "2026-07-01"), (Kind.NEW, "new", "new"),
    (Priced.OLD, "1.50", Decimal("1.50")), (Priced.NONE, "null", None), ((), "[]", []),
    (Level.HIGH, "3", 3), (frozenset(["a"]), '["a"]', ["a"]),
    (str, "<class 'str'>", "<class 'str'>"),
)  # fmt: skip


def constant_key(supply: Supply) -> Key:
    return supply.one_of(_CONSTANT_KEYS)


def hostile_key(supply: Supply) -> Key:
    return Hostile(), LEFT_OUT, LEFT_OUT


def as_json(told: Any) -> str:
    """Write what is told of a pair as JSON, Decimals by their own digits."""
    if isinstance(told, list):
        return f"[{','.join(map(as_json, told))}]"
    if isinstance(told, Decimal):
        return str(told)
    return orjson.dumps(told).decode()


KEYS: tuple[Callable[[Supply], Key], ...] = (
    text_key, integer_key, number_key, decimal_key, constant_key, hostile_key, pair_key,
)  # fmt: skip
LEAVES: tuple[Callable[[Supply], Built], ...] = (
    text, number, integer, decimal, moment, binary, constant, hostile,
)  # fmt: skip
