"""Rows: what a file consists of, and what can be wrong with one or with all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


class Halt(Exception):
    """Tell why an import cannot begin or go on."""


class Refused(Exception):
    """Tell why a row makes no event."""


@dataclass(slots=True)
class Row:
    """Hold one row of a file.

    Attributes:
        number: Which row it is, from 1; blank lines and a header are none.
        line: On which line it begins, from 1.
        last_line: On which line it ends.
        raw: What the file says.
        mark: A fingerprint of everything in the file up to its end.
        load: Reads its values by name; raises `Refused`.
        rounds: How often the client gave it up while the ingest took others.
        seen_delivered: How many were delivered when that was last counted.
    """

    number: int
    line: int
    last_line: int
    raw: bytes
    mark: str
    load: Callable[[], Mapping[str, Any]]
    rounds: int = 0
    seen_delivered: int = 0
