"""Objects that applications put into events: odd ones, and hostile ones."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Any


class Level(IntEnum):
    HIGH = 3


class Kind(StrEnum):
    NEW = "new"


class Priced(Enum):
    OLD = Decimal("1.50")
    NONE = None


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Loud(str):
    __slots__ = ()

    def isascii(self) -> bool:
        return True

    def __str__(self) -> str:
        raise RuntimeError("loud")


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Liar:
    """Claim to be what it is not, and fail at everything else."""

    @property
    def __class__(self) -> Any:
        return dict

    def __str__(self) -> str:
        raise ZeroDivisionError

    def items(self) -> Any:
        raise KeyError("items")


class Breaking:
    """Break while it is read."""

    def __init__(self, before: Any) -> None:
        self._before = before

    def __iter__(self) -> Iterator[Any]:
        yield self._before
        raise OSError("broken")


class BreakingMapping(UserDict[Any, Any]):
    def items(self) -> Any:
        raise LookupError("broken")


class Lazy:
    """Stand for a text, as lazy translations do."""

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def __class__(self) -> Any:
        return str

    def __str__(self) -> str:
        return self._text


@dataclass
class Item:
    name: Any
    price: Any = None


class Model:
    """Look like a pydantic model."""

    def __init__(self, fields: dict[Any, Any]) -> None:
        self._fields = fields

    def model_dump(self) -> dict[Any, Any]:
        return self._fields


class Series:
    """Be an iterable that is nothing else."""

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)
