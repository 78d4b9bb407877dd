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


def test_what_is_not_met_is_explained(monkeypatch: Any) -> None:
    section = Section("A section", "What it is.")
    section.rows += [row(3, 1, Goal(2)), row(3, 1, Goal(1))]
    assert not met([section])
    assert section.markdown().endswith("\n- a call: not met, and not explained yet\n")
    monkeypatch.setitem(_report.REMARKS, "a call", "It does more.")
    assert section.markdown().endswith("\n- a call: It does more.\n")
