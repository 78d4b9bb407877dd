from __future__ import annotations

from typing import Any

import pytest

from datalyr_core.inspector.faults import Fault, FaultError, Faults, parse_fault


@pytest.mark.parametrize(
    ("given", "fault", "label"),
    [
        ({"status": 503, "count": 3}, Fault(status=503, count=3), "503"),
        ({"status": 400}, Fault(status=400), "400"),
        ({"status": 599}, Fault(status=599), "599"),
        (
            {"status": 429, "retry_after": 2, "count": None},
            Fault(status=429, retry_after=2),
            "429, Retry-After 2",
        ),
        ({"status": 429, "retry_after": 0}, Fault(429, retry_after=0), "429, Retry-After 0"),
        ({"delay": 1.5}, Fault(delay=1.5), "answered after 1.5 s"),
        ({"delay": 60}, Fault(delay=60), "answered after 60 s"),
        ({"status": 500, "delay": 1}, Fault(status=500, delay=1), "500 after 1 s"),
        ({"cut": True}, Fault(cut=True), "cut"),
        ({"cut": True, "delay": 2, "count": 1}, Fault(cut=True, delay=2, count=1), "cut after 2 s"),
    ],
)
def test_a_fault_is_read_and_written(given: dict[str, Any], fault: Fault, label: str) -> None:
    parsed = parse_fault(given)
    assert parsed == fault
    assert parsed.label == label
    assert parsed.as_json() == {"count": None, **given}


@pytest.mark.parametrize("given", [{}, {"cut": False}, {"status": None}, {"delay": 0}])
def test_what_asks_for_nothing_clears(given: dict[str, Any]) -> None:
    assert parse_fault(given) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "a fault is an object"),
        (503, "a fault is an object"),
        ({"stauts": 503}, "unknown: stauts; a fault has status, retry_after, delay, cut, count"),
        ({"status": 200}, "status must be a whole number from 400 to 599, not 200"),
        ({"status": 600}, "status must be a whole number from 400 to 599, not 600"),
        ({"status": "503"}, "status must be a whole number from 400 to 599, not '503'"),
        ({"status": True}, "status must be a whole number from 400 to 599, not True"),
        ({"status": 503.0}, "status must be a whole number from 400 to 599, not 503.0"),
        ({"status": 429, "retry_after": -1}, "retry_after must be a whole number from 0"),
        ({"status": 503, "count": 0}, "count must be a whole number from 1"),
        ({"delay": -1}, "delay must be 0 to 60 seconds, not -1"),
        ({"delay": 61}, "delay must be 0 to 60 seconds, not 61"),
        ({"delay": float("nan")}, "delay must be 0 to 60 seconds, not nan"),
        ({"delay": "1"}, "delay must be 0 to 60 seconds, not '1'"),
        ({"delay": True}, "delay must be 0 to 60 seconds, not True"),
        ({"cut": 1}, "cut must be true or false, not 1"),
        ({"cut": 1.0}, "cut must be true or false, not 1.0"),
        ({"cut": "yes"}, "cut must be true or false, not 'yes'"),
        ({"cut": True, "status": 503}, "cut sends no answer, so it cannot have a status"),
        ({"retry_after": 2}, "retry_after needs a status to go with"),
        ({"count": 3}, "count needs something to count"),
    ],
)
def test_nonsense_is_refused_with_a_reason(given: object, message: str) -> None:
    with pytest.raises(FaultError) as refused:
        parse_fault(given)
    assert str(refused.value).startswith(message)


def test_a_counted_fault_is_for_so_many_requests() -> None:
    faults = Faults()
    faults.current = Fault(status=503, count=2)
    assert faults.take() == Fault(status=503, count=2)
    assert faults.as_json() == {"status": 503, "count": 1}
    assert faults.take() == Fault(status=503, count=1)
    assert faults.as_json() == {}
    assert faults.take() is None


def test_a_fault_without_a_count_stays() -> None:
    faults = Faults()
    faults.current = Fault(status=503)
    assert [faults.take() for _ in range(3)] == [Fault(status=503)] * 3
