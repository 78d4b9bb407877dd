"""Rows through `datalyr import`, how fast and in how much memory: `python -m benchmarks.importing`.

Checks them (`--dry-run`), then sends a tenth to a sink on this machine.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._cores import HERE, on
from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import by_turns, rounds_of
from benchmarks._workers import ROOT

MOST = 100.0  # MB
PATIENCE = 1800  # seconds
_COMMAND = r"""
import re, sys
from pathlib import Path
from datalyr_core.cli import main
code = main(["import", *sys.argv[1:]])
print("peak", re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""
TEXT = """\
`datalyr import` of a file of JSON lines: a check of all rows, and the delivery of a tenth of them
to a sink on this machine. Beside the time stands that of reading the same file with `json.loads`,
beside the memory that of a tenth of the rows. The command and the sink have a core each."""


def benchmark(run: Run) -> Section:
    section = Section("`datalyr import`", TEXT)
    rows = run.of(100_000, 20_000)
    folder = run.keep(tempfile.TemporaryDirectory())
    whole, tenth = written(rows, folder), written(rows // 10, folder)
    port, rounds = run.sink(), run.of(3, 1)
    read = by_turns(rounds, {path.name: partial(reading, path) for path in (whole, tenth)})
    ways: dict[str, tuple[Any, ...]] = {
        "whole": (whole, "--dry-run"),
        "tenth": (tenth, "--dry-run"),
        "delivery": (tenth,),
    }
    found = rounds_of(
        rounds, {name: partial(measured, port, *way) for name, way in ways.items()}, warm=False
    )
    took = {name: statistics.median(each[0] for each in them) for name, them in found.items()}
    peak = {name: statistics.median(each[1] for each in them) for name, them in found.items()}
    goal = Goal(MOST, absolute=True)
    what, beside = f"a check of {rows:,} rows", f"{rows // 10:,} rows"
    section.add(f"{what}, time", took["whole"], "s", "`json.loads`", read[whole.name])
    section.add(f"{what}, memory", peak["whole"], "MB", beside, peak["tenth"], goal)
    what, beside = f"delivery of {rows // 10:,} rows", "a check of them"
    section.add(f"{what}, time", took["delivery"], "s", "`json.loads`", read[tenth.name])
    section.add(f"{what}, memory", peak["delivery"], "MB", beside, peak["tenth"], goal)
    return section


def written(rows: int, folder: str) -> Path:
    path = Path(folder, f"{rows}.jsonl")
    with path.open("w") as file:
        for number in range(rows):
            row = {
                "event": "Order",
                "user_id": f"user_{number % 5000}",
                "event_id": f"order_{number}",
                "timestamp": 1_700_000_000 + number,
                "properties": {"total": number / 100, "plan": "pro", "filling": "x" * 100},
            }
            file.write(f"{json.dumps(row)}\n")
    return path


def reading(path: Path) -> float:
    """Return the seconds that it takes to read all rows and keep none."""
    begun = time.monotonic()
    with path.open("rb") as file:
        for line in file:
            json.loads(line)
    return time.monotonic() - begun


def measured(port: int, path: Path, *arguments: str) -> tuple[float, float]:
    """Run it, and return its seconds, and the peak of its memory in megabytes."""
    begun = time.monotonic()
    environment = {
        "PYTHONPATH": str(ROOT),
        "DATALYR_HOST": f"http://127.0.0.1:{port}/track",
        "DATALYR_API_KEY": "dk_benchmark",
    }
    with on(HERE):
        out = subprocess.run(
            [sys.executable, "-c", _COMMAND, str(path), *arguments],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, **environment},
        ).stdout
    took = time.monotonic() - begun
    found = re.search(r"peak (\d+)", out)
    return took, int(found[1]) / 1000 if found else 0.0


if __name__ == "__main__":
    sys.exit(command(benchmark))
