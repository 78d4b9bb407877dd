"""The table that people read."""

from __future__ import annotations

from tests.faults.fault import Goal, Measured, misses
from tests.faults.hour import Passed
from tests.faults.outages import Outage

_HEAD = (
    "fault",
    "tracked",
    "arrived",
    "dropped",
    "sends",
    "a minute",
    "at once",
    "log lines",
    "held",
    "memory",
    "track() p50, p99",
    "verdict",
)


def head() -> str:
    """Return the first two lines, in Markdown."""
    return f"{_line(_HEAD)}\n{_line(['---'] * len(_HEAD))}"


def row(goal: Goal, found: Measured) -> str:
    """Return a row, in Markdown."""
    if found.skipped:
        return _line([found.name, *[""] * (len(_HEAD) - 2), f"left out: {found.skipped}"])
    again = f" (+{found.again} again)" if found.again else ""
    dropped = ", ".join(f"{count} {reason}" for reason, count in found.dropped.items())
    middle, most = found.ratios
    missed = misses(goal, found)
    return _line(
        [
            found.name,
            str(found.tracked),
            f"{found.arrived}{again}",
            dropped or "0",
            f"{max(found.sends, found.requests)} in {found.seconds:.1f} s",
            f"{found.per_minute:.0f}, most {found.busiest}",
            str(found.at_once) if goal.down else "-",
            str(len(found.lines)),
            str(found.held),
            f"{found.peak / 1e6:.1f} MB",
            f"{found.fault_us[0]:.0f}, {found.fault_us[1]:.0f} µs; x {middle:.1f}, {most:.1f}",
            "; ".join(missed) or "as it has to be",
        ]
    )


_OUTAGE_HEAD = (
    "outage",
    "tracked",
    "arrived",
    "dropped",
    "sends",
    "a minute",
    "log lines",
    "held",
    "all arrived after",
    "verdict",
)


def outage_head() -> str:
    """Return the first two lines of the table of outages, in Markdown."""
    return f"{_line(_OUTAGE_HEAD)}\n{_line(['---'] * len(_OUTAGE_HEAD))}"


def outage_row(outage: Outage, passed: Passed) -> str:
    """Return a row of the table of outages, in Markdown."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in passed.dropped.items())
    most = f", most {outage.busiest(passed)}" if outage.down else ""
    return _line(
        [
            outage.name,
            str(passed.accepted),
            str(passed.arrived),
            dropped or "0",
            str(len(passed.sends)),
            f"{outage.per_minute(passed):.1f}{most}",
            str(len(passed.lines)),
            str(passed.held),
            f"{max(outage.settled(passed), 0):.0f} s",
            "; ".join(outage.misses(passed)) or "as it has to be",
        ]
    )


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
