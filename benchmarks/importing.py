"""A million rows through `datalyr import`: how fast, and in how much memory.

    python -m benchmarks.importing [ROWS]

Checks them (`--dry-run`), then sends a tenth of them to an ingest on this machine.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.ingest import IngestServer

MOST = 100_000  # kilobytes
_COMMAND = r"""
import re, sys
from pathlib import Path
from datalyr_core.cli import main
code = main(["import", *sys.argv[1:]])
print("peak", re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        checked = measured("check", rows, written(rows, folder), "--dry-run")
        path = written(rows // 10, folder)
        ours, theirs = multiprocessing.Pipe()
        ingest = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,))
        ingest.start()
        os.environ |= {"DATALYR_HOST": ours.recv(), "DATALYR_API_KEY": "dk_benchmark"}
        sent = measured("send", rows // 10, path)
        ingest.terminate()
        ingest.join()
    return max(checked, sent) > MOST


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


def measured(what: str, rows: int, path: Path, *arguments: str) -> int:
    """Run it, print what it took, and return the peak of its memory in kilobytes."""
    begun = time.monotonic()
    command = [sys.executable, "-c", _COMMAND, str(path), *arguments]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    took = time.monotonic() - begun
    found = re.search(r"peak (\d+)", out)
    peak = int(found[1]) if found else 0
    size = path.stat().st_size / 1_000_000
    print(
        f"{what} {rows:>10,} rows, {size:,.0f} MB: {took:,.1f} s, {rows / took:,.0f}/s, {peak:,} kB"
    )
    return peak


def serve(pipe: multiprocessing.connection.Connection) -> None:
    with IngestServer() as ingest:
        pipe.send(ingest.url)
        while True:
            time.sleep(0.5)
            ingest.requests.clear()
            ingest.accepted.clear()


if __name__ == "__main__":
    sys.exit(main())
