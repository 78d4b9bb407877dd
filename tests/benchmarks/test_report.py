"""The tables of `python -m benchmarks`."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import _report
from benchmarks._report import Goal, Row, Section, met


def row(value: float, reference: float, goal: Goal | None) -> Row:
    return Row("a call", value, "µs", "another", reference, goal)


@pytest.mark.parametrize(
    ("value", "reference", "goal", "expected"),
    [
        (1.0, 10.0, Goal(1 / 10), True),
        (1.1, 10.0, Goal(1 / 10), False),
        (190.0, 200.0, Goal(0.95, least=True), True),
        (189.0, 200.0, Goal(0.95, least=True), False),
        (3.0, 1.0, Goal(3, absolute=True), True),
        (3.1, 100.0, Goal(3, absolute=True), False),
        (0.0, 0.0, Goal(1), True),
        (1.0, 0.0, Goal(1), False),
        (1.0, 1.0, None, None),
    ],
)
def test_goal(value: float, reference: float, goal: Goal | None, expected: bool | None) -> None:
    assert row(value, reference, goal).met is expected


def test_row_says_everything() -> None:
    assert row(2.5, 50, Goal(1 / 10)).cells() == (
        *("a call", "2.50 µs", "1/20", "another: 50 µs", "at most 1/10", "met"),
    )
    assert row(2.5, 0, Goal(3, absolute=True)).cells()[2:] == (
        *("-", "another: 0 µs", "at most 3 µs", "met"),
    )


@pytest.mark.parametrize(
    ("value", "reference", "goal", "shown"),
    [
        (3.0004, 10, Goal(3, absolute=True), "3.0004 µs"),
        (3.004, 10, Goal(3, absolute=True), "3.004 µs"),
        (2.996, 10, Goal(3, absolute=True), "3.00 µs"),
        (1000.4, 10, Goal(1000, absolute=True), "1,000.4 µs"),
        (1.502, 1, Goal(1.5), "1.502"),
        (1.498, 1, Goal(1.5), "1.50"),
        (0.948, 1, Goal(0.95, least=True), "0.948"),
        (0.10001, 1, Goal(1 / 10), "1/9.999"),
        (1.5 + 1e-9, 1, Goal(1.5), "1.50"),
        (1.502, 1, None, "1.50"),
    ],
)
def test_rounding_hides_no_miss(
    value: float, reference: float, goal: Goal | None, shown: str
) -> None:
    assert shown in row(value, reference, goal).cells()[1:3]


def test_what_is_not_met_is_explained(monkeypatch: Any) -> None:
    section = Section("A section", "What it is.")
    section.rows += [row(3, 1, Goal(2)), row(3, 1, Goal(1))]
    assert not met([section])
    assert section.markdown().endswith("\n- a call: not met, and not explained yet\n")
    monkeypatch.setitem(_report.REMARKS, "a call", "It does more.")
    assert section.markdown().endswith("\n- a call: It does more.\n")
