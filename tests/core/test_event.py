from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalyr_core import DropReason, Event, __version__
from datalyr_core.event import clean_event_id, clean_timestamp

EXACT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def units(text: str) -> int:
    """Count as the Node SDK does."""
    return len(text.encode("utf-16-le")) // 2


# The event id


@pytest.mark.parametrize("value", ["evt_1", " spaced ", "x" * 256, "é" * 256, "😀" * 128, "0"])
def test_a_callers_event_id_is_used_verbatim(value: str) -> None:
    assert clean_event_id(value) == value


@pytest.mark.parametrize("value", [None, "", "   ", "\t\n", 42, True, b"evt", ["evt"], object()])
def test_anything_else_is_ignored_for_a_fresh_uuid(value: object) -> None:
    first, second = clean_event_id(value), clean_event_id(value)
    assert UUID4.fullmatch(first)
    assert first != second


@pytest.mark.parametrize("value", ["x" * 257, "é" * 257, "😀" * 129, "a" + "😀" * 200, "x" * 10**6])
def test_an_over_long_one_is_shortened_with_a_hash(value: str) -> None:
    told = clean_event_id(value)
    prefix, _, digest = told.rpartition("-")
    assert digest == hashlib.sha256(value.encode()).hexdigest()
    assert units(prefix) == 191
    assert units(told) == 256
    assert clean_event_id(value) == told


def test_a_pair_that_is_cut_in_two_is_replaced_as_json_would() -> None:
    prefix = clean_event_id("😀" * 129).rpartition("-")[0]
    assert prefix == "😀" * 95 + "\ufffd"


def test_a_lone_surrogate_is_replaced() -> None:
    assert clean_event_id("evt_\ud800") == "evt_\ufffd"


@given(st.text(st.characters(), max_size=400) | st.text("😀é\ud83d", max_size=400))
def test_an_event_id_always_has_1_to_256_units_and_is_deterministic(value: str) -> None:
    told = clean_event_id(value)
    assert 1 <= units(told) <= 256
    assert told.encode().decode() == told
    assert not value.strip() or clean_event_id(value) == told


# The timestamp


class BrokenZone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        raise RuntimeError("broken")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("2026-07-01T12:34:56Z", "2026-07-01T12:34:56.000Z"),
        ("2026-07-01T12:34:56.7Z", "2026-07-01T12:34:56.700Z"),
        ("2026-07-01T12:34:56.999999Z", "2026-07-01T12:34:56.999Z"),
        ("2026-07-01T14:34:56+02:00", "2026-07-01T12:34:56.000Z"),
        ("  2026-07-01 12:34:56+00:00 ", "2026-07-01T12:34:56.000Z"),
        ("2026-07-01", "2026-07-01T00:00:00.000Z"),
        (1751373296, "2025-07-01T12:34:56.000Z"),
        (1751373296.5, "2025-07-01T12:34:56.500Z"),
        (1751373296000, "2025-07-01T12:34:56.000Z"),
        (1751373296999.9, "2025-07-01T12:34:56.999Z"),
        (Decimal("1751373296.123999"), "2025-07-01T12:34:56.123Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.000Z"),
        (1e12, "2001-09-09T01:46:40.000Z"),
        (datetime(2026, 7, 1, 12, 34, 56, 999999, UTC), "2026-07-01T12:34:56.999Z"),
        (
            datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=-5))),
            "2026-07-01T17:00:00.000Z",
        ),
        (date(2026, 7, 1), "2026-07-01T00:00:00.000Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_moments(value: object, told: str) -> None:
    assert clean_timestamp(value) == told


@pytest.mark.parametrize(
    "value",
    [
        None, "", "  ", "not a date", "1710101012359", "1735689600",
        "20250101", "2026-13-01", "12:34", True, False, float("nan"),
        float("inf"), 999999999999, -(10**15), 10**400, Decimal("NaN"), Decimal("sNaN"),
        Fraction(1, 2), [], {}, b"2026-07-01", "0001-01-01T00:00:00+01:00",
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5))),
        datetime(2026, 7, 1, tzinfo=BrokenZone()),
    ],
)  # fmt: skip
def test_what_is_no_moment_is_now(value: object) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    told = clean_timestamp(value)
    assert EXACT.fullmatch(told)
    assert before <= datetime.fromisoformat(told) <= datetime.now(UTC)


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XXX+05")  # POSIX counts to the west
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be set here")
def test_a_naive_datetime_is_local_time(far_from_utc: None) -> None:
    assert "TZ" in os.environ
    assert clean_timestamp(datetime(2026, 7, 1, 12, 0)) == "2026-07-01T17:00:00.000Z"  # noqa: DTZ001 - naive on purpose
    assert clean_timestamp("2026-07-01T12:00:00") == "2026-07-01T17:00:00.000Z"


@given(
    st.one_of(
        st.text(),
        st.integers(),
        st.floats(),
        st.decimals(),
        st.dates(),
        st.datetimes(),
        st.datetimes(timezones=st.timezones()),
        st.datetimes(timezones=st.timezones()).map(str),
    )
)
def test_a_timestamp_always_has_the_exact_form(value: object) -> None:
    assert EXACT.fullmatch(clean_timestamp(value))


# The body


def test_an_event_is_read_back_from_its_body() -> None:
    event = Event("E", "u", "anon_1", "evt_1", {"a": 1}, timestamp="2026-07-01T00:00:00.000Z")
    event.properties["anonymous_id"] = "anon_1"
    assert Event.from_body(event.to_body()) == event
    assert Event.from_body(Event("E").to_body()).user_id is None


def test_the_callers_anonymous_id_property_is_overwritten() -> None:
    event = Event("E", None, "anon_1", "evt_1", {"anonymous_id": "mine"})
    assert Event.from_body(event.to_body()).properties == {"anonymous_id": "anon_1"}


def test_the_context_says_which_library_it_was() -> None:
    assert Event("E").context == {
        "library": "datalyr-python",
        "version": __version__,
        "source": "api",
        "schema_version": 1,
    }


def test_drop_reasons_are_strings() -> None:
    values: list[Any] = [
        "validation_error", "queue_overflow", "permanent_client_error", "max_flush_attempts",
        "close_timeout", "closed", "consent", "before_send",
    ]  # fmt: skip
    assert list(DropReason) == values
