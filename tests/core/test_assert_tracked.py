"""`assert_tracked` and `assert_not_tracked`: what matches, and what a failure says."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import pytest

from datalyr_core import Datalyr
from datalyr_core.testing import (
    RecordedEvents,
    assert_not_tracked,
    assert_tracked,
    recorded_events,
    recording_client,
)

USER = UUID("3d5cf66d-203f-4009-8bb0-f3714da152a4")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture
def client() -> Datalyr:
    return Datalyr(enabled=False)


@pytest.fixture
def events() -> Iterator[RecordedEvents]:
    with recorded_events() as events:
        yield events


def order(client: Datalyr, **changed: Any) -> None:
    properties = {"total": Decimal("9.90"), "cart": {"size": 2, "gift": None}, "at": NOON}
    client.track(USER, "Ordered", {**properties, **changed}, anonymous_id="a", timestamp=NOON)


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"user_id": USER},
        {"user_id": str(USER), "anonymous_id": "a"},
        {"properties": {}},
        {"properties": {"total": Decimal("9.90")}},
        {"properties": {"total": 9.9, "cart": {"size": 2}}},
        {"properties": {"cart": {"gift": None}}, "total": 9.9},
        {"total": pytest.approx(9.9), "at": NOON},
        {"at": "2026-07-01T12:00:00+00:00"},
        {"cart": {"size": ANY}},
        {"cart": ANY, "event_id": ANY, "timestamp": NOON},
        {"timestamp": "2026-07-01T12:00:00.000Z", "context": {"source": "api"}},
        {"count": 1},
    ],
)
def test_matches(client: Datalyr, events: RecordedEvents, expected: dict[str, Any]) -> None:
    client.track("u", "Else")
    order(client)
    assert events.assert_tracked("Ordered", **expected) is events[1]
    assert assert_tracked("Ordered", **expected) is events[1]
    expected.pop("count", None)
    with pytest.raises(AssertionError, match="'Ordered' was tracked once\n"):
        assert_not_tracked("Ordered", **expected)


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        ({"user_id": None}, f"user_id: expected None, was '{USER}'"),
        ({"user_id": "8"}, f"user_id: expected '8', was '{USER}'"),
        ({"anonymous_id": 7}, "anonymous_id: expected 7, was 'a'"),
        ({"total": 10}, "properties.total: expected 10, was 9.9"),
        ({"totl": ANY}, "properties.totl: expected <ANY>, was not there"),
        ({"cart": {"size": 3}}, "properties.cart.size: expected 3, was 2"),
        ({"cart": {1: 3}}, "properties.cart.1: expected 3, was not there"),
        ({"cart": "none"}, "properties.cart: expected 'none', was {'size': 2, 'gift': None}"),
        ({"properties": {"total": {"eur": 9}}}, "properties.total: expected {'eur': 9}, was 9.9"),
        ({"context": {"source": "web"}}, "context.source: expected 'web', was 'api'"),
        ({"timestamp": 0}, "timestamp: expected 0, was '2026-07-01T12:00:00.000Z'"),
    ],
)
def test_differs(
    client: Datalyr, events: RecordedEvents, expected: dict[str, Any], line: str
) -> None:
    order(client)
    with pytest.raises(AssertionError) as failed:
        assert_tracked("Ordered", **expected)
    assert f"\n  nearest is number 1:\n    {line}\n" in str(failed.value)
    assert_not_tracked("Ordered", **expected)


def test_a_failure_shows_the_nearest_and_everything_else(
    client: Datalyr, events: RecordedEvents
) -> None:
    client.track(7, "Signed Up", {"plan": "free", "source": "web"})
    client.track(8, "Signed Up", {"plan": "pro", "source": "web"})
    client.page(8, properties={"url": "/" + 300 * "x"})
    client.track(8, "")
    with pytest.raises(AssertionError) as failed:
        events.assert_tracked("Signed Up", user_id=8, plan="pro", source="app")
    url = "/" + 190 * "x"
    assert str(failed.value) == textwrap.dedent(
        f"""\
        'Signed Up' was not tracked as expected
          nearest is number 2:
            properties.source: expected 'app', was 'web'
          tracked: 3
            1. 'Signed Up' user_id='7' {{'plan': 'free', 'source': 'web'}}
            2. 'Signed Up' user_id='8' {{'plan': 'pro', 'source': 'web'}}
            3. '$pageview' user_id='8' {{'url': '{url}…
          dropped: 1
            '': an event name must be a non-empty string, not '' (str) (validation_error)"""
    )


def test_a_failure_with_another_name_or_nothing_at_all(
    client: Datalyr, events: RecordedEvents
) -> None:
    with pytest.raises(AssertionError) as failed:
        assert_tracked("Signed Up")
    assert str(failed.value) == "'Signed Up' was not tracked as expected\n  tracked: nothing"
    client.track("u", "Signed up")
    with pytest.raises(AssertionError, match=r"\n  did you mean 'Signed up'\?\n  tracked: 1\n"):
        assert_tracked("Signed Up")


def test_a_failure_lists_no_more_than_can_be_read(client: Datalyr, events: RecordedEvents) -> None:
    for number in range(1, 26):
        client.track("u", f"E{number}")
    with pytest.raises(AssertionError) as failed:
        assert_tracked("Nothing like it")
    lines = str(failed.value).splitlines()
    assert lines[1:4] == ["  tracked: 25", "    … 5 before these", "    6. 'E6' user_id='u' {}"]
    assert lines[-1] == "    25. 'E25' user_id='u' {}"


def test_counts(client: Datalyr, events: RecordedEvents) -> None:
    order(client)
    order(client)
    order(client, total=1)
    assert_tracked("Ordered", count=3)
    assert assert_tracked("Ordered", count=2, total=9.9) is events[0]
    with pytest.raises(AssertionError, match="'Ordered' was tracked as expected 2 times, not 1\n"):
        assert_tracked("Ordered", count=1, total=9.9)
    with pytest.raises(AssertionError, match="was not tracked as expected\n  nearest"):
        assert_tracked("Ordered", count=1, total=2)
    with pytest.raises(ValueError, match="use assert_not_tracked"):
        assert_tracked("Other", count=0)


def test_one_event_alone(client: Datalyr, events: RecordedEvents) -> None:
    order(client)
    order(client, total=1)
    assert assert_tracked(events[1], total=1) is events[1]
    assert_not_tracked(events[1], total=9.9)
    with pytest.raises(AssertionError, match=r"expected 9\.9, was 1\n  tracked: 1\n"):
        assert_tracked(events[1], total=9.9)


def test_where_nothing_is_recorded() -> None:
    for ask in (assert_tracked, assert_not_tracked):
        with pytest.raises(RuntimeError, match="use the pytest fixture datalyr_events"):
            ask("E")


def test_the_events_of_a_recording_client() -> None:
    with recording_client() as client:
        client.track("u", "E", {"n": 1})
        client.events.assert_tracked("E", user_id="u", n=1)
        client.events.assert_not_tracked("E", n=2)
        assert_tracked(client.events[0], n=1)
