"""What each call makes of its arguments, beyond what the recorded vectors show."""

from __future__ import annotations

import uuid
from collections import UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest

from datalyr_core import calls
from datalyr_core.errors import InvalidEvent


class Hostile:
    """Raise whenever it is looked at."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __repr__


class UserKind(IntEnum):
    ADMIN = 7


@dataclass
class Plan:
    name: str


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None),
        ("", None),
        ("user", "user"),
        (0, "0"),
        (42, "42"),
        (UserKind.ADMIN, "7"),
        (uuid.UUID(int=5), str(uuid.UUID(int=5))),
        (type("Text", (str,), {})("u"), "u"),
        (type("Text", (str,), {})(""), None),
    ],
)
def test_ids_become_strings_and_zero_is_one(value: object, told: str | None) -> None:
    assert calls.clean_id(value, "user_id") == told
    assert calls.track(value, "E").user_id == told


class Somebody:
    is_authenticated = False

    def __str__(self) -> str:
        return "AnonymousUser"


def test_a_user_is_no_id() -> None:
    with pytest.raises(InvalidEvent, match=r"user_id must be the user's id, such as user.pk"):
        calls.track(Somebody(), "E")


class Awaited:
    """Have a `str()`, as a future has, of which nobody means that it is an id."""

    def __await__(self) -> Iterator[None]:
        yield

    def __str__(self) -> str:
        return "<Future pending>"


@pytest.mark.parametrize(
    "value",
    [True, 1.5, b"u", {}, [], (), set(), frozenset(), ["u"], object(), print, dict, Awaited()],
)
def test_what_is_never_an_id_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent, match="user_id must be a string, an int or a UUID"):
        calls.track(value, "E")
    with pytest.raises(InvalidEvent, match="anonymous_id must be"):
        calls.track("u", "E", anonymous_id=value)


@pytest.mark.parametrize("event", [None, "", 42, b"E", Hostile(), []])
def test_an_event_needs_a_name(event: object) -> None:
    with pytest.raises(InvalidEvent, match="an event name must be a non-empty string, not"):
        calls.track("u", event)


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        (None, {}),
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        (UserDict(a=1), {"a": 1}),
        (Plan("pro"), {"name": "pro"}),
    ],
)
def test_properties_are_a_mapping_or_as_good_as_one(properties: Any, told: Any) -> None:
    assert calls.track("u", "E", properties).properties == told


@pytest.mark.parametrize("properties", [[1], "text", 5, True, object()])
def test_what_is_no_mapping_is_refused(properties: object) -> None:
    with pytest.raises(InvalidEvent, match="properties must be a mapping, not"):
        calls.track("u", "E", properties)


def test_the_message_does_not_flood_the_log() -> None:
    with pytest.raises(InvalidEvent) as caught:
        calls.track("u", "E", "x" * 10_000)
    assert len(str(caught.value)) < 150


def test_a_fresh_anonymous_id_for_every_call() -> None:
    assert len({calls.track("u", "E").anonymous_id for _ in range(100)}) == 100
    assert calls.track("u", "E", anonymous_id="anon_1").anonymous_id == "anon_1"


def test_the_callers_dict_is_not_kept() -> None:
    given = {"a": 1}
    event = calls.track("u", "E", given)
    event.properties["b"] = 2
    assert given == {"a": 1}


@pytest.mark.parametrize(
    ("name", "properties", "known", "told"),
    [
        (None, None, None, {}),
        ("Home", None, None, {"name": "Home", "url": "Home"}),
        ("Home", {"name": "Mine"}, None, {"name": "Mine", "url": "Home"}),
        (None, {"url": None}, None, {"url": None}),
        ("Home", {"url": None}, {"url": "/k"}, {"name": "Home", "url": "/k"}),
        (None, {"path": "/mine"}, {"url": "/k", "path": "/k"}, {"url": "/k", "path": "/mine"}),
    ],
)
def test_page(name: Any, properties: Any, known: Any, told: dict[str, Any]) -> None:
    event = calls.page("u", name, properties, known=known)
    assert (event.event, event.properties) == ("$pageview", told)


def test_alias_falls_back_on_the_events_own_anonymous_id() -> None:
    event = calls.alias(42)
    assert event.user_id == "42"
    assert event.properties == {
        "new_user_id": "42",
        "previous_id": event.anonymous_id,
        "userId": "42",
        "previousId": event.anonymous_id,
    }


@pytest.mark.parametrize(("group_id", "told"), [("g", "g"), (0, 0), (uuid.UUID(int=1), None)])
def test_group_keeps_a_number_a_number(group_id: object, told: object) -> None:
    event = calls.group("u", group_id, {"name": "Acme"})
    assert event.properties == {"groupId": told if told is not None else str(group_id)} | {
        "name": "Acme"
    }
    assert calls.group(None, "g", {"groupId": "mine"}).properties == {"groupId": "mine"}


@pytest.mark.parametrize("value", [0, -5, 49.99, Decimal("49.99"), 10**20])
def test_a_purchase_has_a_number(value: Any) -> None:
    told = calls.track_purchase("u", value, "eur", {"value": "mine", "order": 1}).properties
    assert told == {"value": value, "currency": "EUR", "order": 1}


@pytest.mark.parametrize(
    "value",
    [None, "49.99", True, float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity"), 1j],
)
def test_a_purchase_without_a_finite_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent, match="a purchase needs a"):
        calls.track_purchase("u", value)


def test_a_purchase_whose_number_is_too_large_to_look_at_is_refused() -> None:
    with pytest.raises(OverflowError) as caught:
        calls.track_purchase("u", 10**400)
    assert calls.reason(caught.value) == "an argument cannot be read (OverflowError)"


@pytest.mark.parametrize(("currency", "told"), [(None, "USD"), ("", "USD"), ("gbp", "GBP")])
def test_currencies(currency: Any, told: str) -> None:
    assert calls.track_purchase("u", 1, currency).properties["currency"] == told


def test_a_currency_is_a_string() -> None:
    with pytest.raises(InvalidEvent, match="a currency must be a string"):
        calls.track_purchase("u", 1, 978)


@pytest.mark.parametrize(
    "call",
    [
        lambda: calls.identify(None),
        lambda: calls.identify(""),
        lambda: calls.alias(None),
        lambda: calls.group("u", None),
        lambda: calls.group("u", ""),
    ],
)
def test_required_ids(call: Any) -> None:
    with pytest.raises(InvalidEvent, match="is required"):
        call()


class BrokenMapping(UserDict[str, int]):
    def __iter__(self) -> Any:
        raise RuntimeError("broken")


@pytest.mark.parametrize("args", [(Hostile(), "E"), ("u", "E", BrokenMapping(a=1))])
def test_whatever_a_value_does_the_reason_is_that_it_cannot_be_read(args: Any) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of any kind
        calls.track(*args)
    assert calls.reason(caught.value).startswith("an argument cannot be read (")


def test_a_hook_that_changes_an_events_context_changes_no_other() -> None:
    calls.track(event="E").context["library"] = "another"
    assert calls.track(event="E").context["library"] == "datalyr-python"
