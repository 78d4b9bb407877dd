"""What is played under load ends whatever it has started, also if it is asked to end too soon."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.soak.ledger import is_alive
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")


def children_of(pid: int) -> set[int]:
    """List the processes below one, also those that others of them have started."""
    found: set[int] = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # gone meanwhile
            continue
        if parent == pid:
            found.add(int(path.parent.name))
    return found.union(*map(children_of, found))


def interrupted(has_begun: Callable[[set[int]], bool], *command: str) -> None:
    """Run a command, ask it to end, twice, as soon as it has begun; nothing is left of it."""
    with subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            assert eventually(lambda: has_begun(children_of(process.pid)), 60)
            started = children_of(process.pid)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)  # supervisors do so
            assert "interrupted" in process.stdout.read()
            assert process.wait(60) == 2
        finally:
            process.kill()
        assert eventually(lambda: not any(map(is_alive, started)), 20), started


@pytest.mark.timeout(200)
def test_kill_nine_leaves_no_server_behind() -> None:
    pytest.importorskip("gunicorn")
    interrupted(lambda found: len(found) >= 5, "tests.live.kill_nine", "--times", "1000")


@pytest.mark.timeout(200)
def test_the_run_of_a_broker_leaves_nothing_behind() -> None:
    pytest.importorskip("redis")
    interrupted(  # a broker, two relays, and at least the first of the producers
        lambda found: len(found) >= 4,
        *("tests.live.broker", "--broker", "redis", "--events", "100000"),
    )
