"""Every fault on real sockets, held to its goal; what is slow about them is waiting."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.fault import Measured, misses
from tests.faults.running import ROOT, run_one

AT_A_TIME = 4

pytestmark = pytest.mark.timeout(900)  # all rows of a run are waited for by the first test


@pytest.fixture(scope="module")
def measured(request: pytest.FixtureRequest) -> Callable[[str], Measured]:
    """Run the rows of all tests that were chosen, some at a time."""
    calls = (getattr(item, "callspec", None) for item in request.session.items)
    names = {call.params["name"] for call in calls if call and call.params.get("name") in FAULTS}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        rows: dict[str, Future[Measured]] = {
            name: pool.submit(run_one, fault) for name, fault in FAULTS.items() if name in names
        }
    return lambda name: rows[name].result()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault(name: str, measured: Callable[[str], Measured]) -> None:
    found = measured(name)
    if found.skipped:
        pytest.skip(f"{name}: {found.skipped}")
    assert misses(FAULTS[name].goal, found) == [], found


def command(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.faults", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_prints_rows_and_says_whether_all_is_well() -> None:
    done = command("--only", "one event", "--jobs", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "| 10 minutes of 503, one event |" in done.stdout
    assert done.stdout.count("as it has to be") == 1


def test_the_command_knows_what_it_has_no_row_for() -> None:
    done = command("--only", "a meteorite")
    assert done.returncode == 2
    assert "no row has 'a meteorite' in its name" in done.stderr
