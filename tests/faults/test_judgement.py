"""The judgement of a row: whatever is not as it has to be is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from datalyr_core import Reply, TransportError
from tests.faults.fault import EVENTS, REFUSED, WAITS, Measured, misses
from tests.faults.hour import WELL, Answered, simulate, spread
from tests.faults.outages import BEGIN, OUTAGES

FAILS, WELL_AGAIN = "WARNING the ingest fails (…); events wait", "WARNING the ingest answers again"

GOOD = Measured(
    "a fault",
    tracked=EVENTS,
    arrived=EVENTS,
    delivered=EVENTS,
    sends=18,
    requests=18,
    seconds=5.0,
    at_once=1,
    lines=[FAILS, WELL_AGAIN],
    held=EVENTS,
    hour_held=1000,
    peak=600_000,
    busiest=20,
    fault_us=(20.0, 4_000.0),
    well_us=(20.0, 4_000.0),
)


def test_a_row_that_is_as_it_has_to_be() -> None:
    assert misses(WAITS, GOOD) == []
    assert misses(WAITS, replace(GOOD, fault_us=(100.0, 4_000.0))) == []  # a busy machine


@pytest.mark.parametrize(
    "amiss",
    [
        {"arrived": EVENTS - 1},
        {"delivered": EVENTS - 1},
        {"dropped": {"queue_overflow": 1}},
        {"waiting": 1},
        {"again": 1},
        {"lines": [FAILS]},
        {"lines": [FAILS, FAILS]},
        {"lines": [FAILS, WELL_AGAIN, FAILS]},
        {"held": EVENTS + 1},
        {"hour_held": 1001},
        {"at_once": 2},
        {"sends": EVENTS},
        {"requests": EVENTS},
        {"busiest": 30},
        {"peak": 1_500_000},
        {"fault_us": (800.0, 4_000.0)},
        {"fault_us": (20.0, 400_000.0)},
        {"failed": "ValueError: oh"},
    ],
    ids=str,
)
def test_whatever_is_amiss_is_told(amiss: dict[str, Any]) -> None:
    assert len(misses(WAITS, replace(GOOD, **amiss))) == 1


def test_what_is_refused_has_to_be_dropped_for_that() -> None:
    refused = replace(GOOD, arrived=0, delivered=0, lines=["WARNING event dropped"])
    dropped = {"permanent_client_error": EVENTS}
    assert misses(REFUSED, replace(refused, dropped=dropped)) == []
    assert len(misses(REFUSED, replace(refused, dropped={"close_timeout": EVENTS}))) == 1


def test_an_outage_by_turns_is_one_while_it_lasts() -> None:
    """Sends in vain count as those of any outage do; what is well in between does not hide them."""
    outage = OUTAGES["6 hours of flapping: down for 2 minutes of 5"]
    passed = replace(OUTAGES["10 minutes of 503, one event"].run(), failed=spread(26, 0, 60))
    assert "26 sends in a minute" in outage.misses(passed)


@pytest.mark.parametrize("answer", [Reply(503), TransportError("refused")], ids=["503", "none"])
def test_memory_is_that_of_the_events(answer: Reply | TransportError) -> None:
    """An error that is raised again and again would keep the frames of every time."""

    def ingest(now: float) -> Answered:
        return WELL if now < BEGIN else (answer, 0.02)

    def peak(hours: float) -> int:
        end = BEGIN + hours * 3600
        moments = [0.0, *spread(int(hours * 1800), BEGIN, end)]
        passed = simulate(ingest, moments=moments, until=end, memory=True, max_queue_size=100)
        return passed.peak

    assert peak(1) < peak(1 / 4) + 200_000  # when each was sent is also written down
