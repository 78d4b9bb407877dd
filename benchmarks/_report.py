"""Rows with their goals, and the tables that they stand in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks._remarks import REMARKS

MOST_DIGITS = 6  # more than usual, where rounding would hide whether a goal is met
HEAD = ("what", "measured", "ratio", "beside", "goal", "met")


@dataclass(frozen=True)
class Goal:
    """Bound a figure, or its ratio to what stands beside it.

    Attributes:
        limit: The bound.
        least: Whether it is a lower bound.
        absolute: Whether it bounds the figure itself, in its unit.
    """

    limit: float
    least: bool = False
    absolute: bool = False

    def holds(self, figure: float, limit: float) -> bool:
        """Tell whether a figure keeps to a limit."""
        return figure >= limit if self.least else figure <= limit


@dataclass(frozen=True)
class Row:
    """Hold one figure.

    Attributes:
        what: What was measured; `REMARKS` knows it under this name.
        value: The figure.
        unit: Its unit.
        beside: What it is compared with, measured in the same run.
        reference: The figure of that, in the same unit.
        goal: What the figure has to be; None for a row that is there to compare with.
    """

    what: str
    value: float
    unit: str
    beside: str
    reference: float
    goal: Goal | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.reference if self.reference else None

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        limit = self.goal.limit * (1 if self.goal.absolute else self.reference)
        return self.goal.holds(self.value, limit)

    def cells(self) -> tuple[str, ...]:
        """Return what stands in the columns of `HEAD`."""
        met = {True: "met", False: "**not met**", None: "-"}[self.met]
        beside = f"{self.beside}: {_number(self.reference)} {self.unit}".rstrip()
        value, ratio = self._figures()
        return self.what, f"{value} {self.unit}".rstrip(), ratio, beside, self._goal(), met

    def _figures(self) -> tuple[str, str]:
        """Write the figure and its ratio, in as many digits as show whether the goal is met."""
        value, ratio = _number(self.value), _ratio(self.ratio)
        goal = self.goal
        if goal is not None and goal.absolute:
            value = _telling(self.value, _number, lambda shown: goal.holds(shown, goal.limit))
        elif goal is not None and self.ratio is not None:
            ratio = _telling(self.ratio, _ratio, lambda shown: goal.holds(shown, goal.limit))
        return value, ratio

    def _goal(self) -> str:
        if self.goal is None:
            return "to compare with"
        bound = "at least" if self.goal.least else "at most"
        if self.goal.absolute:
            return f"{bound} {_number(self.goal.limit)} {self.unit}".rstrip()
        return f"{bound} {_ratio(self.goal.limit)}"


@dataclass
class Section:
    """Hold the rows of one benchmark.

    Attributes:
        title: Its heading.
        text: What is measured, and how.
        rows: The figures.
        skipped: What could not be measured, and why.
        notes: What else has to be known.
    """

    title: str
    text: str
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(
        self,
        what: str,
        value: float,
        unit: str,
        beside: str,
        reference: float,
        goal: Goal | None = None,
    ) -> None:
        self.rows.append(Row(what, value, unit, beside, reference, goal))

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", self.text, ""]
        if self.rows:
            lines += [_line(HEAD), _line(["---"] * len(HEAD))]
            lines += [_line(row.cells()) for row in self.rows]
            lines.append("")
        missed = dict.fromkeys(row.what for row in self.rows if row.met is False)
        lines += [
            f"- {what}: {REMARKS.get(what, 'not met, and not explained yet')}" for what in missed
        ]
        lines += [f"- {note}" for note in self.notes]
        lines += [f"- skipped: {what}" for what in self.skipped]
        return "\n".join(lines).rstrip() + "\n"


def met(sections: Iterable[Section]) -> bool:
    """Tell whether every goal is met."""
    return not any(row.met is False for section in sections for row in section.rows)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float, more: int = 0) -> str:
    """Write a figure, in more digits than usual or not."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.{more}f}"
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.{1 + more}f}" if size >= 10 else f"{value:.{2 + more}f}"


def _ratio(value: float | None, more: int = 0) -> str:
    if value is None:
        return "-"
    return f"1/{1 / value:.{3 + more}g}" if 0 < value < 0.2 else f"{value:.{2 + more}f}"


def _telling(value: float, write: Callable[[float, int], str], met: Callable[[float], bool]) -> str:
    """Write a figure so that it does not look met by being rounded, nor the reverse."""
    texts = [write(value, more) for more in range(MOST_DIGITS + 1)]
    return next((text for text in texts if met(_read(text)) == met(value)), texts[0])


def _read(text: str) -> float:
    whole, _, part = text.replace(",", "").partition("/")
    return float(whole) / float(part or 1)
