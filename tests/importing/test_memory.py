"""Memory does not grow with the file; benchmarks/importing.py shows it for many more rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_DRY_RUN = r"""
import re, sys
from pathlib import Path
from datalyr_core.cli import main
code = main(["import", sys.argv[1], "--dry-run"])
# The most that was resident; getrusage would tell what the parent had, too.
print(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(code)
"""
_IMPORT = """
import sys
from datalyr_core import Datalyr
from datalyr_core.importing.ledger import Ledger

most = 0
begin = Ledger.begin
def watched(self, row, event_id):
    global most
    begin(self, row, event_id)
    most = max(most, len(self._unsettled))
Ledger.begin = watched

from datalyr_core.cli import main
code = main(["import", sys.argv[1]])
print(most)
sys.exit(code)
"""
ROW = '{"event": "Event", "user_id": "u", "properties": {"filling": "%s"}}\n' % ("x" * 300)


def last_number(source: str, path: Path) -> int:
    command = [sys.executable, "-c", source, path]
    environment = {name: os.environ[name] for name in os.environ if "COVERAGE" not in name}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=50, env=environment)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout.splitlines()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells it there")
def test_a_dry_run_of_many_rows(tmp_path: Path) -> None:
    used = []
    for count in (1_000, 60_000):  # the second is 20 MB
        path = tmp_path / f"{count}.jsonl"
        path.write_text(ROW * count)
        used.append(last_number(_DRY_RUN, path))
    few, many = used
    assert many - few < 5_000, used  # kilobytes


def test_no_more_rows_are_under_way_than_the_queue_holds(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(ROW * 3_000)
    assert last_number(_IMPORT, path) <= 101
