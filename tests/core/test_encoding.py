from __future__ import annotations

import json
import logging
import threading
import tracemalloc
import uuid
from collections import OrderedDict, UserDict, UserString, deque, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from itertools import count
from types import MappingProxyType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalyr_core.encoding import MAX_DEPTH, MAX_ITEMS, MAX_VALUES, encode, plain, snapshot


@pytest.mark.parametrize("more", [{}, {"price": Decimal("1.50")}], ids=["native", "ours"])
def test_what_waits_takes_no_more_memory_than_its_text(more: dict[str, Any]) -> None:
    value = {"text": "x" * 300, **more}
    encode(value)
    tracemalloc.start()
    try:
        kept = [encode(value) for _ in range(1000)]
        each = tracemalloc.get_traced_memory()[0] / len(kept)
    finally:
        tracemalloc.stop()
    assert each < len(kept[0]) + 100


class Color(Enum):
    RED = "red"
    PRICE = Decimal("1.50")


class Level(IntEnum):
    HIGH = 3


class Kind(StrEnum):
    NEW = "new"


@dataclass
class Item:
    sku: str
    price: Decimal


class Attrs:
    """Look like a class that attrs made."""

    __attrs_attrs__ = (SimpleNamespace(name="a"), SimpleNamespace(name="b"))

    def __init__(self) -> None:
        self.a, self.b = 1, {2}


class Model:
    """Look like a pydantic model."""

    def model_dump(self) -> dict[str, Any]:
        return {"when": date(2026, 7, 1)}


class Lazy:
    """Look like a lazy translation: text by another name, with the methods of str."""

    def __str__(self) -> str:
        return "later"

    def __iter__(self) -> Iterator[str]:
        return iter(str(self))

    def casefold(self) -> str:
        return str(self).casefold()


class Proxy:
    """Say by its `__class__` that it is a mapping, as some lazy objects do."""

    @property
    def __class__(self) -> Any:
        return dict

    def items(self) -> list[tuple[str, int]]:
        return [("a", 1)]


class Shown:
    def __str__(self) -> str:
        return "shown"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        return "Hostile()"


class Text(str):
    __slots__ = ()


Point = namedtuple("Point", "x y")

RULES: list[tuple[Any, Any]] = [
    # As JSON has them
    (None, None),
    (True, True),
    (5, 5),
    (1.5, 1.5),
    ("é😀", "é😀"),
    ([1, [2]], [1, [2]]),
    ({"a": {"b": 1}}, {"a": {"b": 1}}),
    # Numbers
    (Decimal("19.90"), 19.9),
    (Decimal("1E+3"), 1000.0),
    (Decimal("-0"), 0),
    (Decimal("NaN"), None),
    (Decimal("sNaN"), None),
    (Decimal("Infinity"), None),
    (Decimal("1E+999"), None),
    (float("nan"), None),
    (float("-inf"), None),
    (2**64 - 1, 2**64 - 1),
    (2**64, str(2**64)),
    (-(2**63), -(2**63)),
    (-(2**63) - 1, str(-(2**63) - 1)),
    (Level.HIGH, 3),
    # Moments
    (datetime(2026, 7, 1, 12, 30, tzinfo=UTC), "2026-07-01T12:30:00+00:00"),
    (datetime(2026, 7, 1, 12, 30), "2026-07-01T12:30:00"),  # noqa: DTZ001 - naive on purpose
    (date(2026, 7, 1), "2026-07-01"),
    (time(12, 30), "12:30:00"),
    # Text
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Kind.NEW, "new"),
    (Text("text"), "text"),
    (UserString("user"), "user"),
    (Lazy(), "later"),
    ("a\ud800b", "a\ufffdb"),
    ("\ud83d\ude00", "😀"),
    (b"bytes", "bytes"),
    (bytearray(b"\xff\xfe"), "//4="),
    (memoryview(b"view"), "view"),
    # Enums and containers
    (Color.RED, "red"),
    (Color.PRICE, 1.5),
    ((1, 2), [1, 2]),
    (Point(1, 2), [1, 2]),
    ({5}, [5]),
    (frozenset({5}), [5]),
    (deque([1, 2]), [1, 2]),
    (range(3), [0, 1, 2]),
    ((n for n in (1, 2)), [1, 2]),
    ({"a": 1}.keys(), ["a"]),
    (OrderedDict(a={1}), {"a": [1]}),
    (UserDict(a=1), {"a": 1}),
    (MappingProxyType({"a": 1}), {"a": 1}),
    # Objects
    (Item("A", Decimal("1.5")), {"sku": "A", "price": 1.5}),
    (Attrs(), {"a": 1, "b": [2]}),
    (Model(), {"when": "2026-07-01"}),
    (Proxy(), {"a": 1}),
    (Shown(), "shown"),
    (Item, f"<class '{__name__}.Item'>"),
    (ValueError("why"), "why"),
]
KEYS: list[tuple[Any, str]] = [
    (1, "1"),
    (1.5, "1.5"),
    (None, "null"),
    (True, "true"),
    (Decimal("1.50"), "1.50"),
    (date(2026, 7, 1), "2026-07-01"),
    (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    (Color.RED, "red"),
    ((1, "a"), '[1,"a"]'),
    ((Decimal("1.50"), None), "[1.50,null]"),
    ("\ud800", "\ufffd"),
    (2**70, str(2**70)),
]


def told(value: Any) -> Any:
    return json.loads(encode({"value": value}))["value"]


@pytest.mark.parametrize(("value", "expected"), RULES, ids=lambda value: type(value).__name__)
def test_the_rule_for_each_type(value: Any, expected: Any) -> None:
    assert told(value) == expected


@pytest.mark.parametrize(("key", "expected"), KEYS, ids=str)
def test_keys_become_strings(key: Any, expected: str) -> None:
    assert told({key: 1}) == {expected: 1}


def test_the_digits_of_a_decimal_are_kept() -> None:
    assert encode(Decimal("19.90")) == b"19.90"
    assert encode([Decimal("0.1000000000000000000000000001")]) == (
        b"[0.1000000000000000000000000001]"
    )


def test_what_even_raises_at_str_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert told({"bad": Hostile(), "good": 1}) == {"good": 1}
    assert told([Hostile(), 1]) == [None, 1]
    assert told({Hostile(): 1, "good": 1}) == {"good": 1}
    assert encode(Hostile()) == b"null"
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 4
    assert "of type Hostile cannot be encoded (RuntimeError)" in caplog.text


def test_cycles_are_cut() -> None:
    loop: dict[str, Any] = {"a": 1}
    loop["self"] = loop
    assert told(loop) == {"a": 1, "self": None}
    twice = [1]
    assert told([twice, twice, {2}]) == [[1], [1], [2]]


def test_depth_is_cut() -> None:
    deep: Any = set()  # no native value, so that orjson leaves it to us
    for _ in range(5000):
        deep = [deep]
    value, depth = told(deep), 0
    while value:
        value, depth = value[0], depth + 1
    assert depth == MAX_DEPTH


def test_the_deepest_mapping_keeps_its_keys() -> None:
    deep: Any = {"first": 1, "second": {2}}
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    value = told(deep)
    while isinstance(value, list):
        value = value[0]
    assert value == {"first": None, "second": None}


def test_an_endless_iterable_is_cut() -> None:
    assert len(told(count())) == MAX_ITEMS
    assert len(told([{1}] * (MAX_ITEMS + 5))) == MAX_ITEMS + 5  # a list is what it is


def test_a_mapping_that_another_thread_changes_is_told() -> None:
    shared: dict[str, Any] = {str(n): {n} for n in range(50)}
    stop = threading.Event()

    def change() -> None:
        for n in count():
            shared[f"extra {n % 100}"] = 1
            shared.pop(f"extra {(n - 50) % 100}", None)
            if stop.is_set():
                return

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            assert {str(n) for n in range(50)} <= told(shared).keys()
    finally:
        stop.set()
        thread.join()


class Unsteady(UserDict[str, int]):
    """Raise what a dict raises that is changed while it is read, some times."""

    def __init__(self, times: int) -> None:
        super().__init__(a=1)
        self.times = times

    def items(self) -> Any:
        if self.times:
            self.times -= 1
            raise RuntimeError("dictionary changed size during iteration")
        return super().items()


def test_an_unsteady_mapping_is_read_again_but_not_for_ever() -> None:
    assert told(Unsteady(10)) == {"a": 1}
    assert told([Unsteady(11)]) == [None]


def test_plain_shares_nothing_with_the_value() -> None:
    value: dict[str, list[Any]] = {"a": [1, {"b": 2}]}
    copy = plain(value)
    value["a"].append(3)
    assert copy == {"a": [1, {"b": 2}]}


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.binary(),
    st.decimals(), st.datetimes(timezones=st.none() | st.timezones()), st.dates(), st.times(),
    st.uuids(), st.sampled_from([*Color, *Level, *Kind]), st.timedeltas(), st.complex_numbers(),
    st.fractions(), st.just(Hostile()), st.builds(Shown), st.sampled_from([int, Lazy(), ...]),
)  # fmt: skip
HASHABLE = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(st.characters()),
    st.decimals(allow_nan=False),
    st.dates(),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner),
        st.tuples(inner, inner),
        st.dictionaries(HASHABLE, inner),
        st.sets(HASHABLE),
        st.builds(Item, inner, inner),
        st.builds(deque, st.lists(inner)),
    ),
    max_leaves=20,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@given(ANYTHING)
def test_the_encoder_is_total(value: Any) -> None:
    json.loads(encode(value), parse_constant=refuse)


@given(ANYTHING)
def test_both_paths_tell_the_same(value: Any) -> None:
    assert json.loads(encode(value)) == json.loads(encode(plain(value)))


@given(JSON)
def test_json_values_go_through_unchanged(value: Any) -> None:
    assert json.loads(encode(value)) == value
    assert plain(value) == value


# What has no end


@dataclass
class Owner:
    first: Any = None
    second: Any = None


def test_an_object_that_refers_to_itself_is_cut() -> None:
    owner, order = Owner(), Owner()
    owner.first = owner.second = order
    order.first = order.second = owner
    nothing = {"first": None, "second": None}
    assert plain(owner) == {"first": nothing, "second": nothing}


def test_a_value_that_grows_without_end_is_cut_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tree: Any = "leaf"
    for _ in range(60):  # each level twice as large as the one below
        tree = Owner(tree, tree)
    assert len(encode({"tree": tree, "price": 1})) < 100 * MAX_VALUES
    assert caplog.text.count("values; what lies beyond is null") == 1


def test_a_large_list_is_told_as_it_is() -> None:
    assert len(json.loads(encode([uuid.uuid4()] * 10_000))) == 10_000


# What is not what it says


class Lazy:
    """Stand for a value, as Django's and Werkzeug's proxies do, with no methods but `str()`."""

    def __init__(self, value: Any) -> None:
        self._value = value

    @property
    def __class__(self) -> Any:
        return type(self._value)

    @property
    def value(self) -> Any:  # an Enum's
        return self._value.value

    def __str__(self) -> str:
        return str(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)


@pytest.mark.parametrize(
    "value", ["abc", 5, 2.5, True, False, Decimal("5.10"), Color.RED, Level.HIGH, Kind.NEW]
)
def test_a_proxy_is_told_as_what_it_stands_for(value: Any) -> None:
    assert encode([Lazy(value)]) == encode([value])


class Euros(Decimal):
    def __str__(self) -> str:
        return f"€{Decimal.__str__(self)}"


class Moody(datetime):
    def isoformat(self, *args: Any) -> Any:  # type: ignore[override]  # wrong on purpose
        return 5j


class Lone(uuid.UUID):
    def __str__(self) -> str:
        return "\ud800"


class Loud(str):
    __slots__ = ()

    def isascii(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Euros("5.00"), b"5.00"),
        (Moody(2026, 1, 1), b'"5j"'),
        (Lone(int=1), '"\ufffd"'.encode()),
        (Loud("a\ud800"), '"a\ufffd"'.encode()),
        (MagicMock(spec=datetime), None),
        (MagicMock(spec=dict), None),
        (MagicMock(spec=int), None),
    ],
    ids=["Decimal", "datetime", "int", "str", "mock of a datetime", "of a dict", "of an int"],
)
def test_a_value_that_lies_about_itself_makes_json(value: Any, told: bytes | None) -> None:
    encoded = encode({"v": value})
    json.loads(encoded)
    if told is not None:
        assert encoded == b'{"v":' + told + b"}"


def test_a_snapshot_leaves_decimals_as_they_are() -> None:
    items = [Item("a", Decimal("1.10"))]
    told = snapshot({"items": items})
    items[0].sku = "b"
    assert told == {"items": [{"sku": "a", "price": Decimal("1.10")}]}
    assert encode(told) == b'{"items":[{"sku":"a","price":1.10}]}'
    assert snapshot(Hostile()) is None
