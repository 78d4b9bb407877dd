"""Findings as text for people and as JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from datalyr_core.doctor.findings import Finding, Level
from datalyr_core.errors import without_credentials
from datalyr_core.version import __version__

SHAPE = 1  # of the JSON; a key may join it, but none changes or goes without another number
_INDENT = " " * 18


def line(finding: Finding) -> str:
    """Write a finding as one line, and below it what to do."""
    seen = f"{finding.level:<8} {finding.check:<8} {_shown(finding.seen)}"
    return f"{seen}\n{_INDENT}-> {_shown(finding.todo)}" if finding.todo else seen


def summary(findings: Sequence[Finding]) -> str:
    """Write how many findings there are of each kind that needs a look."""
    count = Counter(finding.level for finding in findings)
    if not count[Level.ERROR] + count[Level.WARNING]:
        return "No problem found."
    return f"{_amount(count[Level.ERROR], 'error')}, {_amount(count[Level.WARNING], 'warning')}."


def document(findings: Sequence[Finding], *, host: str | None, strict: bool) -> str:
    """Write all findings as JSON; see docs/doctor.md for its shape."""
    content = {
        "version": SHAPE,
        "datalyr": __version__,
        "host": host and without_credentials(host),
        "status": _worst(findings),
        "exit_status": exit_status(findings, strict=strict),
        "findings": [
            {
                "check": finding.check,
                "level": finding.level,
                "seen": finding.seen,
                "todo": finding.todo,
            }
            for finding in findings
        ],
    }
    return json.dumps(content, indent=2)


def exit_status(findings: Sequence[Finding], *, strict: bool) -> int:
    """Return 1 for an error, and when strict also for a warning; else 0."""
    bad = (Level.ERROR, Level.WARNING) if strict else (Level.ERROR,)
    return int(any(finding.level in bad for finding in findings))


def _worst(findings: Sequence[Finding]) -> Level:
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.ERROR, Level.WARNING) if level in levels), Level.OK)


def _amount(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shown(text: str) -> str:
    """Write a text on one line; what is not printable must not reach a terminal."""
    flat = " ".join(text.split())
    return "".join(part if part.isprintable() else ascii(part)[1:-1] for part in flat)
