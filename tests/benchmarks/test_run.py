"""What a run of benchmarks starts: where it runs, and that it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from benchmarks import _peers, _plain
from benchmarks._cores import AWAY, HERE, ONE, on
from benchmarks._run import Run
from benchmarks._signals import interruptible, shielded
from benchmarks._workers import ROOT, Worker
from benchmarks.programs.bare import connect, request
from benchmarks.programs.sink import Requests

_BROKEN_OFF = """
import subprocess, sys, time
from benchmarks._run import Run, measured

def benchmark(run):
    worker = run.worker("sink", 0)
    print(worker.pid, flush=True)
    time.sleep(60)

measured(benchmark, quick=True)
"""
PATIENCE = 30.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_run_that_is_broken_off_leaves_nothing_behind(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _BROKEN_OFF],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        worker = int(process.stdout.readline())
        process.send_signal(number)
        _, told = process.communicate(timeout=PATIENCE)
    assert told.endswith("KeyboardInterrupt\n")
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_signal_waits_until_what_is_started_is_known() -> None:
    before, known = signal.getsignal(signal.SIGTERM), []

    def start() -> None:
        with interruptible():
            with shielded():
                os.kill(os.getpid(), signal.SIGTERM)
                known.append("started")
            known.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert known == ["started"]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(HERE is None, reason="the system has one core, or keeps nothing to one")
def test_sink_has_a_core_of_its_own() -> None:
    before = os.sched_getaffinity(0)
    with on(AWAY), Worker("sink", "0") as sink:
        assert os.sched_getaffinity(sink.pid) == AWAY
    assert os.sched_getaffinity(0) == before
    with on(None):
        assert os.sched_getaffinity(0) == before
    assert HERE
    assert AWAY
    assert not HERE & AWAY


@pytest.mark.skipif(HERE is None, reason="the system has one core, or keeps nothing to one")
def test_run_keeps_what_is_measured_from_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_peers, "installed", lambda: {"segment": "1"})
    monkeypatch.setattr(_peers._environment, "python", sys.executable)
    monkeypatch.setattr(_plain, "python", lambda: sys.executable)
    started = ("sink", 0)
    with Run() as run:
        here = (run.worker(*started), run.peer("segment", *started), run.plain(*started))
        assert [os.sched_getaffinity(each.pid) for each in here] == [HERE] * 3
        assert os.sched_getaffinity(run.away(*started).pid) == AWAY
        assert os.sched_getaffinity(run.worker(*started, cores=ONE).pid) == ONE
        anywhere = run.worker(*started, cores=None)
        assert os.sched_getaffinity(anywhere.pid) == os.sched_getaffinity(0)


@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_sink_answers_after_its_delay(delay: float) -> None:
    with Worker("sink", str(delay)) as sink:
        port = sink.ask("port")
        with connect(port) as connection:
            begun = time.perf_counter()
            connection.sendall(request(port))
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            assert time.perf_counter() - begun >= delay
        assert sink.ask("requests") == 1


def test_sink_finds_the_ends_of_requests() -> None:
    requests, whole = Requests(), request(80)
    assert requests.ended(whole[:-1]) == 0
    assert requests.ended(whole[-1:] + whole + whole[:9]) == 2
    assert requests.ended(whole[9:]) == 1
