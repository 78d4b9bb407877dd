"""The results as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scripts._matrix.runner import Result

HEADINGS = ("leg", "python", "versions", "passed", "failed", "skipped", "seconds")


def table(results: Sequence[Result]) -> Iterator[str]:
    """Write a line for each leg, with columns as wide as they need to be."""
    rows = [HEADINGS, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        texts = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        yield "  ".join((*texts, *numbers)).rstrip()


def _row(result: Result) -> tuple[str, ...]:
    if result.trouble:
        counts = ("-", "-", "-")
    else:
        counts = (str(result.passed), str(result.failed), str(result.skipped))
    one = result.leg.name.startswith("without-")  # legs without any framework lack dozens
    lacks = f"without {' and '.join(result.leg.lacks)}; " if one else ""
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    said = result.trouble or f"{lacks}{versions}"
    return (result.leg.name, result.python, said, *counts, f"{result.seconds:.0f}")
