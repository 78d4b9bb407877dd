"""Values of any shape, each built together with the JSON that it must become."""

from __future__ import annotations

from collections import OrderedDict, UserDict, deque
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from tests.fuzz.leaves import KEYS, LEAVES, LEFT_OUT, Built, text
from tests.fuzz.objects import Breaking, BreakingMapping, Item, Model, Series
from tests.fuzz.supply import Supply

_MOST_NODES = 40
_MOST_DEPTH = 12


class Builder:
    """Build one value out of an input."""

    def __init__(self, supply: Supply) -> None:
        self._supply = supply
        self._nodes = 0

    def build(self) -> Built:
        """Build a value; what is expected is never `LEFT_OUT` but in a container."""
        value, expected = self._value(0)
        return value, None if expected is LEFT_OUT else expected

    def _value(self, depth: int) -> Built:
        self._nodes += 1
        supply = self._supply
        if not supply or self._nodes > _MOST_NODES or depth > _MOST_DEPTH:
            return None, None
        kind = supply.byte()
        if kind % 2 and depth < _MOST_DEPTH:
            return CONTAINERS[kind // 2 % len(CONTAINERS)](self, depth + 1)
        return LEAVES[kind // 2 % len(LEAVES)](supply)

    def _values(self, depth: int) -> tuple[list[Any], list[Any]]:
        built = [self._value(depth) for _ in range(self._supply.byte() % 6)]
        kept = [None if expected is LEFT_OUT else expected for _, expected in built]
        return [value for value, _ in built], kept

    # Containers

    def array(self, depth: int) -> Built:
        values, expected = self._values(depth)
        return values, expected

    def line(self, depth: int) -> Built:
        values, expected = self._values(depth)
        kind = self._supply.one_of((tuple, deque, iter, Series))
        return kind(values), expected

    def breaking(self, depth: int) -> Built:
        return Breaking(self._value(depth)[0]), LEFT_OUT

    def mapping(self, depth: int) -> Built:
        pairs: dict[Any, Built] = {}
        names: dict[Any, Any] = {}
        for _ in range(self._supply.byte() % 6):
            key, name, _ = self._supply.one_of(KEYS)(self._supply)
            names.setdefault(key, name)  # of equal keys, a dict keeps the first
            pairs[key] = self._value(depth)
        expected: dict[str, Any] = {}
        for key, (_, content) in pairs.items():
            if content is not LEFT_OUT and names[key] is not LEFT_OUT:
                expected[names[key]] = content
        value: Any = {key: content for key, (content, _) in pairs.items()}
        kind = self._supply.byte() % 6
        if kind == 5:
            return BreakingMapping(value), LEFT_OUT
        return (dict, OrderedDict, UserDict, MappingProxyType, Model)[kind](value), expected

    def item(self, depth: int) -> Built:
        name, told = self._value(depth)
        price, priced = self._value(depth)
        fields = {"name": told, "price": priced}
        kept = {name: each for name, each in fields.items() if each is not LEFT_OUT}
        return Item(name, price), kept

    def one(self, depth: int) -> Built:
        member, _, told = self._supply.one_of(KEYS)(self._supply)
        kind = self._supply.one_of((set, frozenset))
        return kind([member]), [None if told is LEFT_OUT else told]

    def cycle(self, depth: int) -> Built:
        shape = self._supply.byte() % 4
        # An iterator can be told once only, and the last shape is told three times.
        inner, expected = text(self._supply) if shape == 3 else self._value(depth)
        loop: list[Any] = [inner]
        kept = None if expected is LEFT_OUT else expected
        if shape == 0:
            loop.append(loop)
            return loop, [kept, None]
        if shape == 1:
            circle: dict[str, Any] = {"inner": inner}
            circle["again"] = [circle]
            told = {"again": [None]} if expected is LEFT_OUT else {"inner": kept, "again": [None]}
            return circle, told
        if shape == 2:
            item = Item(inner)
            item.price = (item, item)
            told = {"price": [None, None]}
            return item, told if expected is LEFT_OUT else {"name": kept, **told}
        return [loop, loop, {"same": loop}], [[kept], [kept], {"same": [kept]}]  # no cycle


CONTAINERS: tuple[Callable[[Builder, int], Built], ...] = (
    Builder.array, Builder.line, Builder.mapping, Builder.item, Builder.one, Builder.cycle,
    Builder.breaking,
)  # fmt: skip
