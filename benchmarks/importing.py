"""Rows through `datalyr import`, how fast and in how much memory: `python -m benchmarks.importing`.

Checks them (`--dry-run`), then sends a tenth to a sink on this machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
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
beside the memory that of a tenth of the rows."""


def benchmark(run: Run) -> Section:
    section = Section("`datalyr import`", TEXT)
    rows = run.of(300_000, 20_000)
    folder = run.keep(tempfile.TemporaryDirectory())
    whole, tenth = written(rows, folder), written(rows // 10, folder)
    read = {path: reading(path) for path in (whole, tenth)}
    port = run.sink()
    took, peak = measured(port, whole, "--dry-run")
    _, little = measured(port, tenth, "--dry-run")
    goal = Goal(MOST, absolute=True)
    what = f"a check of {rows:,} rows"
    section.add(f"{what}, time", took, "s", "`json.loads`", read[whole])
    section.add(f"{what}, memory", peak, "MB", f"{rows // 10:,} rows", little, goal)
    took, peak = measured(port, tenth)
    what = f"delivery of {rows // 10:,} rows"
    section.add(f"{what}, time", took, "s", "`json.loads`", read[tenth])
    section.add(f"{what}, memory", peak, "MB", "a check of them", little, goal)
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
    out = subprocess.run(
        [sys.executable, "-c", _COMMAND, str(path), *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=PATIENCE,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "DATALYR_HOST": f"http://127.0.0.1:{port}/track",
            "DATALYR_API_KEY": "dk_benchmark",
        },
    ).stdout
    took = time.monotonic() - begun
    found = re.search(r"peak (\d+)", out)
    return took, int(found[1]) / 1000 if found else 0.0


if __name__ == "__main__":
    sys.exit(command(benchmark))
