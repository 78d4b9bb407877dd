from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datalyr_core.config import Config
from datalyr_core.delivery.http import HttpTransport
from datalyr_core.event import DropReason, Event
from datalyr_core.importing.carrier import Carrier
from datalyr_core.importing.ledger import Ledger
from datalyr_core.importing.plan import Plan, carry_out
from datalyr_core.importing.rejects import Rejects
from datalyr_core.importing.rows import Row
from datalyr_core.importing.run import End
from datalyr_core.importing.state import State
from tests.importing.conftest import Ended, Held, arrived, ids
from tests.support.ingest import DOWN, OK, RESET, Answer, IngestServer, Received

Start = Callable[..., Any]
Write = Callable[..., Path]


@pytest.mark.parametrize("down", ["failing", "resetting"])
def test_it_waits_for_an_ingest_that_is_down_and_says_so_in_a_line(
    down: str, start: Start, write: Write, ingest: IngestServer
) -> None:
    ingest.answer = DOWN if down == "failing" else RESET
    with start(write(300)) as child:
        assert child.says("the ingest does not take events (")
        assert child.process.poll() is None
        ingest.answer = OK
        ended: Ended = child.end()
    assert ended.code == 0
    waiting, again = ended.err.splitlines()
    assert waiting.endswith("); waiting for it")
    assert ("HTTP 503" in waiting) is (down == "failing")
    assert again == "the ingest takes events again"
    assert arrived(ingest).keys() == ids(300)
    assert max(arrived(ingest).values()) == 1


def test_what_the_client_gives_up_is_tried_again(
    write: Write, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage may be longer than ten failed passes of the queue."""
    monkeypatch.setenv("DATALYR_RETRY_LIMIT", "0")
    monkeypatch.setattr("datalyr_core.dispatcher.MAX_FAILED_FLUSHES", 1)
    ingest.script.extend([DOWN] * 3)
    with Path(os.devnull).open("w") as stream:
        tally = carry_out(Plan(str(write(3))), Config.from_env(), stream, lambda: 0)
    assert (tally.end, tally.good, tally.rejected) == (End.COMPLETE, 3, 0)
    assert arrived(ingest) == dict.fromkeys(ids(3), 1)


def test_an_event_that_the_ingest_alone_fails_at_is_rejected_in_the_end(
    tmp_path: Path, ingest: IngestServer
) -> None:
    rejects = Rejects(str(tmp_path / "rejects"))
    ledger = Ledger(State(), None, rejects)
    bad = Event("Bad", event_id="bad")
    ledger.begin(row(1), "bad")
    given_up = DropReason.MAX_FLUSH_ATTEMPTS
    for _ in range(5):  # an outage: nothing else is delivered
        ledger.on_drop([bad], given_up)
        assert ledger.again() is bad
    for number in range(2, 5):
        ledger.begin(row(number), f"good {number}")
        ledger.deliver(f"good {number}")
        ledger.on_drop([bad], given_up)
        assert ledger.again() is bad
    ledger.begin(row(5), "good 5")
    ledger.deliver("good 5")
    ledger.on_drop([bad], given_up)
    assert ledger.again() is None
    ledger.on_drop([bad], given_up)  # it is off the books
    assert ledger.again() is None
    assert not ledger.busy
    assert ledger.examples == [(1, "the ingest fails at it again and again, and takes others")]
    ledger.save()
    rejects.close()
    assert (tmp_path / "rejects").read_bytes() == b"row 1\n"


def row(number: int) -> Row:
    return Row(number, number, number, b"row %d" % number, "", dict)


def test_an_answer_after_the_books_are_closed_counts_once() -> None:
    ledger = Ledger(State(), None, Rejects())
    ledger.begin(row(1), "id")
    ledger.deliver("id")
    ledger.deliver("id")
    ledger.refuse("id", "HTTP 400")
    assert (ledger.state.delivered, ledger.state.rejected) == (1, 0)


def test_reasons_beyond_some_are_counted_together() -> None:
    ledger = Ledger(State(), None, Rejects())
    for number in range(30):
        ledger.reject(row(number), f"reason {number}: 'value'")
    assert len(ledger.state.reasons) == 21
    assert ledger.state.reasons["other reasons"] == 10


def test_an_error_of_our_own_is_not_swallowed(
    write: Write, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("datalyr_core.importing.mapping.Columns.event", broken)
    with Path(os.devnull).open("w") as stream, pytest.raises(ZeroDivisionError):
        carry_out(Plan(str(write(3))), Config.from_env(), stream, lambda: 0)


@pytest.fixture
def full_disk() -> Path:
    """Writes to it fail for want of room, as on a disk that is full."""
    device = Path("/dev/full")
    if not device.exists():
        pytest.skip("this system has no /dev/full")
    return device


def test_a_disk_that_is_full_stops_it(
    full_disk: Path, write: Write, tmp_path: Path, ingest: IngestServer, run: Callable[..., Ended]
) -> None:
    path = write(3)
    path.write_text(path.read_text() + "{bad")
    ended = run(path, "--rejects", full_disk)
    assert ended.code == 2
    assert "cannot write the rejected rows: No space left on device" in ended.err


@pytest.mark.parametrize("count", [5, 300], ids=["noticed by the clock", "by the rows"])
def test_a_state_that_cannot_be_written_any_more_stops_it(
    count: int,
    write: Write,
    tmp_path: Path,
    ingest: IngestServer,
    hold: Callable[[int], Held],
    run: Callable[..., Ended],
) -> None:
    state = tmp_path / "folder" / "state"
    state.parent.mkdir()
    lock = threading.Lock()
    held = hold(count - 1)  # it does not end before the state was to be written

    def take_the_folder_away(request: Received) -> Answer:
        with lock:
            if state.parent.exists():
                state.parent.rename(tmp_path / "moved")
        return held(request)

    ingest.answer = take_the_folder_away
    ended = run(write(count), "--state", state)
    assert ended.code == 2
    assert ended.err == f"datalyr: cannot write {state}: No such file or directory\n"


def test_the_transport_keeps_its_deadline(ingest: IngestServer) -> None:
    transport = HttpTransport(Config.from_env())
    carrier = Carrier(transport, Ledger(State(), None, Rejects()))
    carrier.deadline = 7.0
    assert transport.deadline == carrier.deadline == 7.0
    carrier.deadline = None
    transport.close()
