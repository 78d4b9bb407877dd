"""The gate, with a clock that is a number."""

from __future__ import annotations

import pytest

from datalyr_core.gate import Gate


@pytest.fixture
def gate() -> Gate:
    return Gate()


def fail(gate: Gate, now: float, *, probe: int = 0, wait: float = 1.0, asked: float = 0) -> bool:
    return gate.failed(probe=probe, now=now, wait=wait, asked=asked)


def test_an_open_gate_admits_any_number(gate: Gate) -> None:
    for _ in range(10):
        assert gate.admits(0)
        assert gate.enter() == 0


def test_a_failure_closes_it_for_the_backoff(gate: Gate) -> None:
    assert fail(gate, 100)
    assert not gate.admits(100.99)
    assert gate.wait(100.25) == pytest.approx(0.75)
    assert gate.admits(101)


def test_only_one_probe_is_under_way(gate: Gate) -> None:
    fail(gate, 0)
    assert gate.enter() == 1
    assert not gate.admits(1000)
    assert gate.wait(1000) is None


def test_sends_that_were_under_way_when_it_closed_count_as_one_failure(gate: Gate) -> None:
    assert [fail(gate, 0, wait=5) for _ in range(3)] == [True, False, False]
    assert gate.failures == 1
    assert gate.wait(0) == 5


def test_a_failed_probe_lets_the_next_one_wait_its_turn(gate: Gate) -> None:
    fail(gate, 0)
    assert fail(gate, 10, probe=gate.enter(), wait=2)
    assert gate.failures == 2
    assert not gate.admits(11.9)
    assert gate.admits(12)


def test_success_opens_it_at_once(gate: Gate) -> None:
    fail(gate, 0, wait=10)
    gate.succeeded(probe=gate.enter(), now=0)
    assert gate.admits(0)
    assert gate.enter() == 0


def test_an_older_send_that_succeeds_opens_it_unless_the_ingest_asked_for_time(gate: Gate) -> None:
    fail(gate, 0, wait=10)
    gate.succeeded(probe=0, now=1)
    assert gate.admits(1)
    fail(gate, 1, wait=1, asked=30)
    gate.succeeded(probe=0, now=2)
    assert not gate.admits(30)
    assert gate.admits(31)


def test_retry_after_is_a_floor(gate: Gate) -> None:
    fail(gate, 0, wait=1, asked=30)
    assert not gate.admits(29.9)
    assert gate.admits(30)


def test_backoff_counts_where_it_is_longer_than_retry_after(gate: Gate) -> None:
    fail(gate, 0, wait=8, asked=2)
    assert not gate.admits(7.9)


def test_retry_after_of_a_send_that_does_not_count_counts(gate: Gate) -> None:
    fail(gate, 0, wait=1)
    assert not fail(gate, 0, wait=1, asked=30)
    assert not gate.admits(29)


def test_hurry_skips_our_own_wait_but_not_the_one_that_was_asked_for(gate: Gate) -> None:
    fail(gate, 0, wait=10)
    gate.hurry()
    assert gate.admits(0)
    fail(gate, 0, probe=gate.enter(), wait=10, asked=5)
    gate.hurry()
    assert not gate.admits(4.9)
    assert gate.admits(5)


def test_a_probe_that_succeeds_does_not_speak_for_the_time_that_was_asked_for_since(
    gate: Gate,
) -> None:
    fail(gate, 0, wait=1)
    probe = gate.enter()
    fail(gate, 2, asked=8)
    gate.succeeded(probe=probe, now=3)
    assert not gate.admits(9.9)
    assert gate.admits(10)  # no probe is under way any more


def test_a_probe_of_long_ago_is_not_the_present_one(gate: Gate) -> None:
    fail(gate, 0)
    old = gate.enter()
    gate.succeeded(probe=0, now=1)
    fail(gate, 2)
    present = gate.enter()
    assert not fail(gate, 3, probe=old)
    assert not gate.admits(100)
    assert fail(gate, 4, probe=present)
    assert gate.admits(100)
