"""JSON as it must be on the wire: read strictly, written so that any reading can be shown."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

MAX_DEPTH = 100


class BodyError(ValueError):
    """The bytes are not one JSON document."""


def parse(body: bytes) -> tuple[Any, list[str]]:
    """Parse a request body.

    Args:
        body: The bytes as they came.

    Returns:
        The document, and what is wrong with it although it can be read.

    Raises:
        BodyError: It is not UTF-8, not JSON, or nested beyond any use.
    """
    remarks: list[str] = []

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        twice = (name for name, count in counts.items() if count > 1)
        remarks.extend(f"body: the key {show(name)} is there twice" for name in twice)
        return dict(pairs)

    try:
        document = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=as_object,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise BodyError(str(error)) from error
    remarks.extend(sorted(set(_odd_values(document))))
    return document, remarks


def encode(value: object) -> bytes:
    """Write a value as UTF-8 JSON on one line.

    Args:
        value: Anything that `parse` returned, or a structure around it.

    Returns:
        The bytes; a lone surrogate stays the escape that it was.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def show(value: object) -> str:
    """Shorten a value for a message.

    Args:
        value: Any JSON value.

    Returns:
        Its JSON text, at most 80 characters long.
    """
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _odd_values(document: object) -> Iterator[str]:
    for depth, value in _walk(document):
        if depth > MAX_DEPTH:
            raise BodyError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            yield "body: a lone surrogate is not a character"
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            yield "body: an integer is beyond 64 bits"


def _walk(document: object) -> Iterator[tuple[int, object]]:
    # A stack of its own: the body decides how deep this goes, so it must not recurse.
    waiting: list[tuple[int, object]] = [(1, document)]
    while waiting:
        depth, value = waiting.pop()
        yield depth, value
        if isinstance(value, dict):
            waiting.extend((depth + 1, part) for pair in value.items() for part in pair)
        elif isinstance(value, list):
            waiting.extend((depth + 1, part) for part in value)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is beyond a double")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
