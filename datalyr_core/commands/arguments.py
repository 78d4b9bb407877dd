"""What an argument of a sub-command must be."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from datalyr_core.event import read_moment


def filled(text: str) -> str:
    """Accept a text that is not blank."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def pair(text: str, form: str, *, empty: bool = False) -> tuple[str, str]:
    """Split at the first equals sign.

    Args:
        text: The argument.
        form: What it should look like, for the message about one that does not.
        empty: Whether the value may be empty.
    """
    name, equals, value = text.partition("=")
    if not (name and equals and (value or empty)):
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}")
    return name, value


def named_value(text: str) -> tuple[str, Any]:
    """Accept NAME=VALUE; a value that is JSON is taken as JSON."""
    name, value = pair(text, "NAME=VALUE", empty=True)
    try:
        return name, _json(value)
    except ValueError:
        return name, value


def properties(text: str) -> dict[str, Any]:
    """Accept a JSON object, or `-` for one on standard input."""
    try:
        told = _json(sys.stdin.read() if text == "-" else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it is no JSON: {error}") from None
    if not isinstance(told, dict):
        raise argparse.ArgumentTypeError('it is no JSON object, such as \'{"plan": "pro"}\'')
    return told


def _json(text: str) -> Any:
    """Read JSON, with its decimals as they are written."""
    return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def timestamp(text: str) -> str | Decimal:
    """Accept a moment: ISO 8601, or epoch seconds."""
    moment: str | Decimal = text
    with suppress(InvalidOperation):
        moment = Decimal(text)
    if read_moment(moment) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment: ISO 8601, or epoch seconds")
    return moment
