"""Findings: what a check saw and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from datalyr_core.config import Config


class Level(StrEnum):
    """Say how much a finding matters."""

    OK = "ok"
    WARNING = "warning"  # it works, but not always, or not as it was meant
    ERROR = "error"  # events do not arrive
    SKIPPED = "skipped"  # it could not be looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """Tell what one check saw.

    Attributes:
        check: The check's name, which stays the same from release to release.
        level: How much it matters.
        seen: What is the case.
        todo: What to do about it, or nothing.
    """

    check: str
    level: Level
    seen: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """Tell how an application has Datalyr.

    Attributes:
        config: Its client's configuration, or None where there is none.
        findings: What its plugin has to say.
    """

    config: Config | None
    findings: Sequence[Finding] = ()


def ok(check: str, seen: str) -> Finding:
    """Find that all is well."""
    return Finding(check, Level.OK, seen)


def warning(check: str, seen: str, todo: str) -> Finding:
    """Find something that will hurt now and then."""
    return Finding(check, Level.WARNING, seen, todo)


def error(check: str, seen: str, todo: str) -> Finding:
    """Find something that keeps events from arriving."""
    return Finding(check, Level.ERROR, seen, todo)


def skipped(check: str, seen: str, todo: str = "") -> Finding:
    """Find that a check could not be made."""
    return Finding(check, Level.SKIPPED, seen, todo)
