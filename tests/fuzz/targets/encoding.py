"""The encoder, with values that are built together with the JSON that they must become.

The builder is the oracle: each kind of value knows by the documented rule what is told of it.
Not built: `orjson.Fragment`, by which an application says itself what stands in the JSON.
"""

from __future__ import annotations

import json
from collections import UserDict, deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson

from datalyr_core.encoding import MAX_DEPTH, encode, plain
from tests.fuzz.builder import Builder
from tests.fuzz.supply import Supply

MAX_LENGTH = 200

# Each kind of value by itself, then inside a mapping, then nested as deep as may be.
SEEDS = (
    b"",
    *(bytes([0, kind, *range(1, 30)]) for kind in range(32)),
    *(bytes([0, 5, 2, key, 1, 65, kind, 7, 1, 2, 3, 4]) for key in range(7) for kind in range(18)),
    bytes([0, *([1, 1] * 12), 2]),
    bytes([255, 200, *range(100)]),
)
WORDS = (
    b"\xff\xff",
    b"\x00\xd8",
    b"\x00\xdc",
    b"\xf0\x7f",
    b"\xf8\x7f",
    b"NaN",
    b"\x3d\xd8\x00\xde",
)


def check(data: bytes) -> None:
    if data[:1] == b"\xff":
        _check_depth(data[1:])
    else:
        _check_rules(data[1:])


def _check_rules(data: bytes) -> None:
    built, expected = Builder(Supply(data)).build()
    again, _ = Builder(Supply(data)).build()  # iterators are used up by telling them once
    encoded = encode([built])
    assert encode([again]) == encoded, "the same value is told in two ways"
    told = json.loads(encoded, parse_float=Decimal, parse_constant=_refuse)[0]
    assert _same(told, expected), f"{encoded!r} should be {expected!r}"
    _read_by_both(encoded)
    tree, _ = Builder(Supply(data)).build()
    slow = encode([plain(tree)])
    assert _same(json.loads(slow, parse_float=Decimal)[0], expected), "two paths, two tales"


def _check_depth(data: bytes) -> None:
    """Nest deeper than JSON's readers go; what is told must not be."""
    supply = Supply(data)
    layers = supply.byte() % 250
    value: Any = supply.one_of((None, {1}, Decimal(1), "\ud800"))
    for _ in range(layers):
        value = LAYERS[supply.byte() % len(LAYERS)](value)
    encoded = encode(value)
    assert encode(value) == encoded
    _read_by_both(encoded)
    depth, told = 0, json.loads(encoded)
    while told and isinstance(told, list | dict):
        told, depth = (told[0] if isinstance(told, list) else told["in"]), depth + 1
    assert depth == min(depth, layers + 1)
    assert layers > MAX_DEPTH or depth >= layers, "something is lost that is not too deep"


def _read_by_both(encoded: bytes) -> None:
    told = json.loads(encoded, parse_int=_as_readers_do, parse_constant=_refuse)
    assert orjson.loads(encoded) == told, "readers disagree"


LAYERS: tuple[Callable[[Any], Any], ...] = (
    lambda inner: [inner],
    lambda inner: {"in": inner},
    lambda inner: (inner,),
    lambda inner: UserDict({"in": inner}),
    lambda inner: deque([inner]),
)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _as_readers_do(digits: str) -> int | float:
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(digits)


def _same(told: Any, expected: Any) -> bool:
    """Compare what was told; floats by value, Decimals by digit."""
    if isinstance(expected, dict):
        return (
            isinstance(told, dict)
            and list(told) == list(expected)
            and all(_same(told[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(told, list)
            and len(told) == len(expected)
            and all(map(_same, told, expected))
        )
    if isinstance(expected, float):
        return isinstance(told, int | Decimal) and float(told) == expected
    if isinstance(expected, Decimal):
        return type(told) in (int, Decimal) and Decimal(told) == expected
    return type(told) is type(expected) and bool(told == expected)
