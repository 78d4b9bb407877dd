"""Half a minute of the soak, and its interruption."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.soak.arrangements import ARRANGEMENTS, Arrangement
from tests.live.soak.ledger import FOLDER
from tests.live.soak.playing import play
from tests.live.soak.processes import Processes
from tests.live.soak.verdict import judge
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
SEED, SECONDS = 5, 30.0  # a plan with a bit of everything
# Those with a broker take a minute or two to start and restart it.
SHORT = [each for each in ARRANGEMENTS if not each.broker]


@pytest.mark.timeout(500)  # what it waits for has bounds of its own
@pytest.mark.parametrize("arrangement", SHORT, ids=lambda each: each.name)
def test_nothing_is_lost_or_mixed_up(arrangement: Arrangement, tmp_path: Path) -> None:
    if missing := arrangement.missing():
        pytest.skip(f"needs {', '.join(missing)}")

    verdict = judge(play(arrangement, SEED, SECONDS, keep=tmp_path / "soak"))

    assert not verdict.problems, verdict
    assert verdict.delivered > 500


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Processes]:
    """Find what a soak with this folder has started, and kill it should it be left behind."""
    found = Processes(tmp_path, {FOLDER: str(tmp_path / "memory" / "ledger")})
    yield found
    found.kill_all()


@pytest.mark.timeout(300)
@pytest.mark.skipif(bool(SHORT[0].missing()), reason="needs /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_whatever_was_started(
    tmp_path: Path, started: Processes, signum: int
) -> None:
    options = ("--seed", "5", "--minutes", "5", "--arrangement", "memory", "--keep", str(tmp_path))
    soak = subprocess.Popen(
        [sys.executable, "-m", "tests.live.soak", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with soak:
        assert soak.stdout
        lines = iter(soak.stdout)
        assert any("terminate" in line or "kill" in line for line in lines)
        assert len(started.left()) > 6

        soak.send_signal(signum)

        assert "interrupted" in soak.stdout.read()
        assert soak.wait(120) == 2
    assert eventually(lambda: not started.left())
