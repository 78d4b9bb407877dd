"""Hours of outage on a simulated clock, held to their goals."""

from __future__ import annotations

import pytest

from datalyr_core import Reply
from tests.faults.hour import WELL, simulate, spread
from tests.faults.outages import OUTAGES

pytestmark = pytest.mark.timeout(600)  # seconds of work; a busy machine makes minutes of them


@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage(name: str) -> None:
    outage = OUTAGES[name]
    passed = outage.run()
    assert outage.misses(passed) == [], passed.lines


def test_a_probe_every_minute_is_all_that_an_absurd_retry_after_leaves() -> None:
    outage = OUTAGES["an hour of 429, Retry-After: 86400"]
    passed = outage.run()
    assert len(passed.between(61, outage.end)) in (59, 60)


def test_a_full_queue_does_not_make_the_client_ask_more_often() -> None:
    """The event that is tried is the oldest, which makes room for the next that comes."""

    def sends(events: int) -> int:
        moments = [0.0, *spread(events, 60, 660)]
        passed = simulate(
            lambda now: WELL if now < 60 else (Reply(503), 0.02),
            moments=moments,
            until=660,
            max_queue_size=100,
        )
        assert passed.waiting == min(events, 100)
        return len(passed.between(60, 660))

    quiet, busy = sends(99), sends(10_000)
    assert abs(quiet - busy) <= 10, (quiet, busy)
