"""Run one leg by nox, and read what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from scripts._matrix import pythons
from scripts._matrix.legs import Leg
from scripts._matrix.requirements import ROOT


@dataclass
class Result:
    """What came of a leg.

    Attributes:
        leg: The leg.
        trouble: Why there are no counts: the interpreter is missing, nothing was installed.
        python: The interpreter's version.
        versions: The version of each distribution that the leg shows.
        passed, failed, skipped: How many tests.
        failures: Their names.
        recovered: The names of those that failed, and passed when they were run once more.
        seconds: How long it took, installing included.
    """

    leg: Leg
    trouble: str = ""
    missing: bool = False
    python: str = "-"
    versions: Mapping[str, str] = field(default_factory=dict)
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Tell whether every test passed, or the machine lacks the interpreter."""
        return self.missing or not (self.trouble or self.failed)


def run(leg: Leg, folder: Path, arguments: list[str]) -> Result:
    """Run a leg.

    Args:
        leg: The leg.
        folder: Where environments, reports and logs are.
        arguments: Arguments for pytest.
    """
    if not pythons.find(leg.python):
        return Result(leg, f"Python {leg.python} is not installed here: skipped", missing=True)
    reports, logs = folder / "reports", folder / "logs"
    for made in (reports, logs):
        made.mkdir(parents=True, exist_ok=True)
    for old in reports.glob(f"{leg.name}.*"):
        old.unlink()
    log = logs / f"{leg.name}.log"
    command = [sys.executable, "-m", "nox", "--session", leg.name]
    command += ["--envdir", str(folder / "environments"), "--", *arguments]
    begun = time.monotonic()
    with log.open("w") as output:
        code = subprocess.call(
            command,
            cwd=ROOT,
            env={**os.environ, "DATALYR_MATRIX_REPORTS": str(reports)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    result = read(reports, Result(leg, seconds=time.monotonic() - begun))
    if code and not (result.failed or result.trouble):
        result.trouble = f"pytest ended with an error; see {log}"
    return result


def read(reports: Path, result: Result) -> Result:
    """Read what a leg has reported.

    A test that was run once more counts as that run ended.

    Args:
        reports: The folder.
        result: What is known already; it is filled in.
    """
    leg = result.leg
    told, counted = reports / f"{leg.name}.json", reports / f"{leg.name}.xml"
    if not told.exists():
        result.trouble = f"its environment could not be made; see logs/{leg.name}.log"
        return result
    found = json.loads(told.read_text())
    result.python = found["python"]
    result.versions = {name: found["distributions"].get(name, "-") for name in leg.shows}
    if not counted.exists():
        result.trouble = f"the tests did not come to their end; see logs/{leg.name}.log"
        return result
    _count(counted, result)
    if (again := reports / f"{leg.name}.again.xml").exists():
        failed_before, result.failures, result.failed = result.failures, [], 0
        _count(again, result)
        result.recovered = sorted(set(failed_before) - set(result.failures))
    return result


def _count(report: Path, result: Result) -> None:
    """Add a run's tests to a result."""
    (suite,) = ET.parse(report).getroot()
    count = {name: int(suite.get(name, 0)) for name in ("tests", "errors", "failures", "skipped")}
    failed = count["errors"] + count["failures"]
    result.failed += failed
    result.skipped += count["skipped"]
    result.passed += count["tests"] - failed - count["skipped"]
    result.failures += [
        f"{case.get('classname')}::{case.get('name')}"
        for case in suite
        if case.find("failure") is not None or case.find("error") is not None
    ]
