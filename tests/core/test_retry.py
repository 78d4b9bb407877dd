from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalyr_core.retry import Outcome, backoff, outcome_of, retry_after

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status: int) -> None:
    assert outcome_of(status) is Outcome.DELIVERED


@pytest.mark.parametrize("status", [408, 429, 500, 501, 502, 503, 504, 599])
def test_what_may_go_away_by_itself_is_transient(status: int) -> None:
    assert outcome_of(status) is Outcome.TRANSIENT


@pytest.mark.parametrize(
    "status", [100, 301, 302, 304, 307, 400, 401, 403, 404, 413, 422, 499, 600]
)
def test_every_other_status_is_permanent(status: int) -> None:
    assert outcome_of(status) is Outcome.PERMANENT


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10), (10_000, 10)]
)
def test_backoff_doubles_up_to_ten_seconds(failures: int, longest: float) -> None:
    assert backoff(failures, jitter=1.0) == longest
    assert backoff(failures, jitter=0.0) == longest / 2


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"retry-after": " 7.5 "}, 7.5),
        ({"RETRY-AFTER": "0"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "3600"}, 60),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": ""}, 0),
        ({"Retry-After": "nan"}, 0),
        ({"Retry-After": "inf"}, 0),
        ({"Retry-After": "9" * 400}, 60),
        ({"X-RateLimit-Reset": "9" * 400}, 60),
        ({"Retry-After": "Wed, 01 Jul 2026 12:00:20 GMT"}, 20),
        ({"Retry-After": "Wed, 01 Jul 2026 12:00:20 -0000"}, 20),
        ({"Retry-After": "Wed, 01 Jul 2026 11:00:00 GMT"}, 0),
        ({"Retry-After": "Wed, 01 Jul 2099 12:00:00 GMT"}, 60),
        ({"X-RateLimit-Reset": str(NOW + 12)}, 12),
        ({"X-RateLimit-Reset": str(NOW - 12)}, 0),
        ({"X-RateLimit-Reset": "later"}, 0),
        ({"Retry-After": "3", "X-RateLimit-Reset": str(NOW + 12)}, 3),
        ({"Retry-After": "soon", "X-RateLimit-Reset": str(NOW + 12)}, 12),
    ],
)
def test_retry_after_is_read_as_seconds_date_or_reset(
    headers: dict[str, str], seconds: float
) -> None:
    assert retry_after(headers, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize("off", [-86_400, -60, 60, 86_400])
@pytest.mark.parametrize(
    "header",
    [{"Retry-After": "Wed, 01 Jul 2026 12:00:20 GMT"}, {"X-RateLimit-Reset": str(NOW + 20)}],
)
def test_moments_are_by_the_ingests_clock(off: int, header: dict[str, str]) -> None:
    date = "Wed, 01 Jul 2026 12:00:00 GMT"
    assert retry_after({**header, "Date": date}, NOW + off) == pytest.approx(20)


def test_a_date_that_is_none_changes_nothing() -> None:
    assert retry_after({"X-RateLimit-Reset": str(NOW + 20), "Date": "today"}, NOW) == 20


@given(
    st.dictionaries(
        st.sampled_from(["Date", "Retry-After", "X-RateLimit-Reset", "Other"]),
        st.text() | st.floats().map(str) | st.integers().map(str) | st.datetimes().map(str),
    )
)
def test_retry_after_is_always_from_0_to_60_seconds(headers: dict[str, str]) -> None:
    assert 0 <= retry_after(headers, NOW) <= 60
