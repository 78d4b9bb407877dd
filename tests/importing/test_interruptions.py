"""Ctrl+C, SIGTERM and kill -9, with real processes and real signals.

What is waited for is a condition, never a time: that every connection waits for an answer,
that the child has said something, that the state says what the ingest knows.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.importing.conftest import IN_FLIGHT, Child, Ended, Held, arrived, ids
from tests.support.ingest import OK, IngestServer
from tests.support.waiting import eventually

Run = Callable[..., Ended]
Start = Callable[..., Any]
Write = Callable[..., Path]
Hold = Callable[[int], Held]

COUNT = 200
FREE = 120
FINISHING = "finishing what is under way; Ctrl+C again to stop at once"


def state_of(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.with_name(f"{path.name}.import.json").read_text())
    return told


def resumed(
    run: Run, path: Path, ingest: IngestServer, *, again_at_most: int, count: int = COUNT
) -> None:
    """Run it once more; everything has arrived, and little of it twice."""
    ingest.answer = OK
    ended = run(path)
    assert (ended.code, ended.err) == (0, "")
    assert f"delivered {count:>12,}" in ended.out
    counts = arrived(ingest)
    assert counts.keys() == ids(count)
    again = [name for name, times in counts.items() if times > 1]
    assert len(again) <= again_at_most, again
    assert max(counts.values()) <= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_finishes_what_is_under_way_and_goes_on_later(
    number: int, run: Run, start: Start, write: Write, hold: Hold, ingest: IngestServer
) -> None:
    path, held = write(COUNT), hold(FREE)
    with start(path) as child:
        assert eventually(lambda: held.is_full, 30)
        child.process.send_signal(number)
        assert child.says(FINISHING)
        held.opened.set()
        ended = child.end()
    assert ended.code == 130
    assert ended.err == f"{FINISHING}\n"
    assert "The same command goes on from here" in ended.out
    assert state_of(path)["delivered"] >= FREE
    # None, unless this machine was so busy that the time for what was under way ran out.
    resumed(run, path, ingest, again_at_most=IN_FLIGHT)


def test_a_second_one_takes_neither_the_report_nor_the_state(
    run: Run, start: Start, write: Write, hold: Hold, ingest: IngestServer
) -> None:
    path, held = write(COUNT), hold(FREE)
    with start(path) as child:
        assert eventually(lambda: held.is_full, 30)
        child.process.send_signal(signal.SIGINT)
        assert child.says(FINISHING)
        child.process.send_signal(signal.SIGINT)
        ended = child.end()  # while the ingest keeps every connection waiting
    assert ended.code == 130
    assert f"delivered {FREE:>12,}" in ended.out
    assert "The same command goes on from here" in ended.out
    assert state_of(path)["delivered"] == FREE
    held.opened.set()
    assert eventually(lambda: ingest.in_flight == 0, 30)
    resumed(run, path, ingest, again_at_most=IN_FLIGHT)


def test_however_often_it_is_pressed(
    run: Run, start: Start, write: Write, hold: Hold, ingest: IngestServer
) -> None:
    path, held = write(COUNT), hold(FREE)
    with start(path) as child:
        assert eventually(lambda: held.is_full, 30)
        pressing = threading.Thread(target=press, args=(child,))
        pressing.start()
        ended = child.end()
        pressing.join(30)
    assert f"delivered {FREE:>12,}" in ended.out
    assert "The same command goes on from here" in ended.out
    assert state_of(path)["delivered"] == FREE
    held.opened.set()
    assert eventually(lambda: ingest.in_flight == 0, 30)
    resumed(run, path, ingest, again_at_most=IN_FLIGHT)


def press(child: Child) -> None:
    """Press Ctrl+C over and over, until the report is out: after it there is only the exit."""
    while not any("The same command" in line for line in child.out):
        child.process.send_signal(signal.SIGINT)
        time.sleep(0.001)
        if child.process.poll() is not None:
            return


def test_kill_9_loses_nothing_and_repeats_what_was_in_flight(
    run: Run, start: Start, write: Write, hold: Hold, ingest: IngestServer
) -> None:
    path, held = write(COUNT), hold(FREE)
    with start(path, measured=False) as child:
        assert eventually(lambda: held.is_full, 30)
        assert eventually(lambda: state_of(path)["delivered"] == FREE, 30)
        child.process.kill()
        child.end()
    held.opened.set()
    assert eventually(lambda: ingest.in_flight == 0, 30)
    resumed(run, path, ingest, again_at_most=IN_FLIGHT)


def test_kill_9_at_any_moment(run: Run, start: Start, write: Write, ingest: IngestServer) -> None:
    count = 500
    path = write(count)
    with start(path, measured=False) as child:
        assert eventually(lambda: len(ingest.accepted) > 300, 30)
        child.process.kill()
        child.end()
    assert eventually(lambda: ingest.in_flight == 0, 30)
    # What was settled since the state was written: between two writings at most 100 rows are
    # begun, on top of the 100 that wait.
    resumed(run, path, ingest, again_at_most=200 + IN_FLIGHT, count=count)


def test_ctrl_c_that_is_ignored_stays_ignored(
    start: Start, write: Write, hold: Hold, ingest: IngestServer
) -> None:
    """As in a background job of a shell."""
    path, held = write(COUNT), hold(FREE)
    with start(path, sigint="signal.SIG_IGN") as child:
        assert eventually(lambda: held.is_full, 30)
        child.process.send_signal(signal.SIGINT)
        held.opened.set()
        ended = child.end()
    assert (ended.code, ended.err) == (0, "")
    assert arrived(ingest).keys() == ids(COUNT)


def test_standard_input_that_never_ends(start: Start, ingest: IngestServer) -> None:
    with start("-") as child:
        child.process.stdin.write('{"event": "Event", "event_id": "id 1"}\n')
        child.process.stdin.flush()
        assert eventually(lambda: arrived(ingest), 30)
        child.process.send_signal(signal.SIGINT)
        ended = child.end()
    assert ended.code == 130
    assert ended.out.splitlines() == ["delivered            1", "rejected             0"]
    assert ended.err == f"{FINISHING}\n"


def test_a_dry_run_says_what_it_knows(start: Start) -> None:
    with start("-", "--dry-run", "--format", "jsonl") as child:
        row = '{"event": "Event"}\n'
        # More than a pipe and a buffer hold: it is reading rows.
        child.process.stdin.write(row * 20_000)
        child.process.stdin.flush()
        child.process.send_signal(signal.SIGINT)
        ended = child.end()
    assert ended.code == 130
    assert ended.out.startswith("good ")
    assert ended.err == ""
