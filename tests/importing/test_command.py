from __future__ import annotations

import gzip
import json
import logging
import os
import pty
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from datalyr_core.cli import main
from datalyr_core.importing.progress import Progress
from tests.importing.conftest import Ended, arrived, ids
from tests.support.ingest import OK, Answer, IngestServer, Received

Run = Callable[..., Ended]
Write = Callable[..., Path]


def refuse_some(request: Received) -> Answer:
    return Answer(400, body=b"no") if int(request.body["eventId"][3:]) % 10 == 0 else OK


def test_the_report_and_the_rejected_rows(
    run: Run, write: Write, tmp_path: Path, ingest: IngestServer
) -> None:
    path, rejects = write(30), tmp_path / "rejects.jsonl"
    path.write_text(path.read_text() + "{bad")
    ingest.answer = refuse_some
    ended = run(path, "--rejects", rejects)
    assert (ended.code, ended.err) == (1, "")
    report = ended.out.splitlines()
    assert report[:4] == [
        "delivered           27",
        "rejected             4",
        "                     3  HTTP 400",
        "                     1  the line is no JSON",
    ]
    *refused, bad = sorted(report[4:])
    assert refused == [f"line {number}: HTTP 400: 'no'" for number in (10, 20, 30)]
    # Versions of orjson word it in their own ways.
    assert bad.startswith("line 31: the line is no JSON: unexpected character")
    assert bad.endswith(": line 1 column 2 (char 1)")
    # Mended, they can be imported.
    rows = rejects.read_text().splitlines()
    assert sorted(rows) == sorted([*path.read_text().splitlines()[9:30:10], "{bad"])
    rejects.write_text("\n".join(row for row in rows if row != "{bad"))
    ingest.answer = OK
    assert run(rejects).code == 0
    assert arrived(ingest).keys() == ids(30)


def test_many_reasons_are_not_a_long_report(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f'{{"event": {number}}}\n' for number in range(40)))
    ended = run(path, "--dry-run")
    assert ended.out.splitlines()[2] == f"{40:>22}  an event name must be a non-empty string"
    assert len(ended.out.splitlines()) == 3 + 10 + 1
    path.write_text("e\n" + "".join(f"E,{'x,' * number}\n" for number in range(40)))
    ended = run(path, "--dry-run", "--map", "event=e", "--format", "csv")
    assert f"{40:>22}  values do not fit the header" in ended.out


def test_the_rejected_rows_of_csv_have_a_header(
    run: Run, tmp_path: Path, ingest: IngestServer
) -> None:
    path, rejects = tmp_path / "data.csv", tmp_path / "rejects.csv"
    path.write_text("event,event_id\nA,id 1\n,id 2\nB")
    assert run(path, "--rejects", rejects).code == 1
    assert rejects.read_text() == "event,event_id\n,id 2\nB\n"


def test_a_dry_run_needs_no_key_and_sends_nothing(
    run: Run, write: Write, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATALYR_API_KEY")
    path = write(5001)
    assert run(path, "--dry-run") == Ended(
        0, "good             5,001\nbad                  0\n", ""
    )
    assert ingest.requests == []
    assert list(path.parent.iterdir()) == [path]


def test_a_second_import_sends_nothing_and_says_so(
    run: Run, write: Write, ingest: IngestServer
) -> None:
    path = write(5)
    assert run(path).code == 0
    ended = run(path)
    assert ended.code == 0
    assert "Nothing is new since it was imported; remove" in ended.out
    assert len(ingest.accepted) == 5


def test_a_file_that_grew_is_gone_on_with(run: Run, write: Write, ingest: IngestServer) -> None:
    write(5)
    assert run(write(5)).code == 0
    assert run(write(9)).code == 0
    assert max(arrived(ingest).values()) == 1
    assert arrived(ingest).keys() == ids(9)


def test_a_file_that_changed_is_refused(run: Run, write: Write, ingest: IngestServer) -> None:
    path = write(5)
    assert run(path).code == 0
    for changed in (path.read_text().replace("Event 2", "Event B"), "", "{}\n"):
        path.write_text(changed)
        ended = run(path)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == (
            f"datalyr: {path} has changed in the part that was imported before "
            f"(by {path}.import.json); restore it, or remove the state to import all of it\n"
        )
    assert len(ingest.accepted) == 5


def test_another_reading_is_refused(run: Run, write: Write) -> None:
    path = write(5)
    assert run(path).code == 0
    ended = run(path, "--set", "user_id=u")
    assert ended.code == 2
    assert "is the state of an import with other --map, --set" in ended.err


def test_another_place_for_the_state(run: Run, write: Write, tmp_path: Path) -> None:
    path, state = write(5), tmp_path / "elsewhere"
    assert run(path, "--state", state).code == 0
    assert json.loads(state.read_text())["delivered"] == 5
    assert sorted(tmp_path.iterdir()) == sorted([path, state])


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_stops_it_at_once(
    status: int, run: Run, write: Write, ingest: IngestServer
) -> None:
    ingest.answer = Answer(status)
    path = write(500)
    ended = run(path)
    assert ended.code == 3
    assert ended.err == (
        f"datalyr: stopped: the ingest refuses the API key (HTTP {status}): check it\n"
    )
    assert ended.out.startswith("delivered            0\nrejected             0\n")
    assert len(ingest.requests) <= 10
    ingest.answer = OK
    assert run(path).code == 0
    assert arrived(ingest).keys() == ids(500)


def test_a_place_that_is_no_ingest_stops_it(run: Run, write: Write, ingest: IngestServer) -> None:
    ingest.answer = Answer(404)
    ended = run(write(5))
    assert ended.code == 3
    assert "there is no ingest here (HTTP 404): check the host" in ended.err


def test_rows_may_share_an_id(run: Run, tmp_path: Path, ingest: IngestServer) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"event": "E", "event_id": "id"}\n' * 200)
    ended = run(path)
    assert ended.code == 0
    assert "delivered          200" in ended.out


def test_a_rate(run: Run, write: Write, ingest: IngestServer) -> None:
    assert run(write(6), "--rate", "10").code == 0
    # The first comes at once, the last half a second after it; never earlier.
    assert ingest.requests[-1].at - ingest.requests[0].at > 0.35


def test_a_truncated_file_is_imported_as_far_as_it_goes(
    run: Run, write: Write, ingest: IngestServer
) -> None:
    whole = write(2000).read_bytes()
    path = write(0, "events.jsonl.gz")
    path.write_bytes(gzip.compress(whole)[:-2000])
    ended = run(path)
    assert ended.code == 3
    assert f"datalyr: stopped: cannot read {path} to its end: " in ended.err
    assert 0 < len(ingest.accepted) < 2000
    assert run(path, "--dry-run").code == 3
    path.write_bytes(gzip.compress(whole))
    assert run(path).code == 0
    assert arrived(ingest).keys() == ids(2000)
    assert max(arrived(ingest).values()) == 1


def test_progress_on_a_terminal(
    write: Write, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("COLUMNS", "100")
    path = write(5000)
    shown: list[bytes] = []
    reading = threading.Thread(target=read_all, args=(ours, shown))
    reading.start()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert main(["import", str(path), "--dry-run"]) == 0
        assert main(["import", str(write(300, "more")), "--rate", "150"]) == 0
    reading.join(30)
    os.close(ours)
    lines = b"".join(shown).decode().split("\r\x1b[K")
    assert lines[0] == lines[-1] == ""  # nothing stays
    assert lines[1].startswith("█" * 24 + " 100 %  5,000 rows  ")
    assert any(re.match(r"█+░+  \d\d %  \d+ rows  \d+/s  0:00:\d\d left$", line) for line in lines)


def read_all(descriptor: int, into: list[bytes]) -> None:
    with suppress(OSError):  # the other end is closed
        while chunk := os.read(descriptor, 65_536):
            into.append(chunk)


def test_progress_of_what_has_no_known_size() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    progress = Progress(stream := Terminal(), None)
    progress.draw(1234, 0)
    assert re.match(r"\r\x1b\[K1,234 rows  [\d,]+/s\Z", stream.getvalue())


def test_no_progress_where_the_size_is_unknown(
    start: Callable[..., Any], ingest: IngestServer
) -> None:
    with start("-") as child:
        child.process.stdin.write('{"event": "E", "event_id": "id 1"}\n')
        child.process.stdin.close()
        ended = child.end()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "delivered            1\nrejected             0\n"


def test_the_clients_log_is_heard_but_for_what_the_command_says(
    run: Run, write: Write, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALYR_RETRY_LIMIT", "11")
    ingest.answer = Answer(400)
    ended = run(write(1))
    assert ended.err == "retry_limit='11' is out of range (0 to 10); 10 is used\n"
    assert logging.getLogger("datalyr").handlers == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{no}"], "cannot read {no}: No such file or directory"),
        (["-", "--state", "s"], "standard input cannot be read again: --state needs a FILE"),
        (["{array}"], "{array} is one JSON array; write an object a line (jq -c '.[]' does)"),
        (["{empty}"], "{empty} has no header line: it is empty"),
        (["{twice}"], "{twice} has more than one column 'a'"),
        (["{csv}"], "no column is named event; write --map event=COLUMN, or --set event=NAME"),
        (["{csv}", "--map", "event=Name"], "there is no column 'Name'; there are a, b"),
        (["{csv}", "--property", "x=Name"], "there is no column 'Name'; there are a, b"),
        (["{csv}", "--map", "event=a", "--state", "{array}"], "{array} is no state of an import"),
        (["{csv}", "--map", "event=a", "--state", "{csv}"], "{csv} is no state of an import"),
        (["{csv}", "--map", "event=a", "--state", "{half}"], "{half} is no whole state of an"),
        (["{csv}", "--map", "event=a", "--state", "{folder}"], "cannot read {folder}: Is a dir"),
        (["{csv}", "--map", "event=a", "--state", "{no}/s"], "cannot write {no}/s: No such file"),
        (["{csv}", "--map", "event=a", "--rejects", "{half}"], "{half} is there already; name"),
        (["{csv}", "--map", "event=a", "--rejects", "{no}/r"], "cannot write {no}/r: No such"),
        (["{garbled}", "--dry-run"], "cannot read {garbled} to its end: "),
    ],
)
def test_what_cannot_begin_is_a_sentence(
    arguments: list[str], message: str, run: Run, tmp_path: Path, ingest: IngestServer
) -> None:
    contents = {
        "array": b" [{}]",
        "empty": b"\n",
        "twice": b"a,a\n",
        "csv": b"a,b\n1,2\n",
        "half": b'{"version": 1}',
        "garbled": b"\x1f\x8bnot gzip at all",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    names = {name: str(tmp_path / name) for name in (*contents, "no", "folder")}
    ended = run(*(each.format(**names) for each in arguments))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"datalyr: {message.format(**names)}")
    assert ingest.requests == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DATALYR_API_KEY", "", "api_key is missing"),
        ("DATALYR_ENABLED", "0", "DATALYR_ENABLED is off, so nothing would be sent"),
    ],
)
def test_settings_that_send_nothing(
    name: str, value: str, message: str, run: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    ended = run(write(1))
    assert ended.code == 2
    assert message in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--map", "event"], "'event' is not FIELD=…"),
        (["--map", "plan=x"], "'plan' is no field; there are type, event, "),
        (["--property", "plan"], "'plan' is not NAME=COLUMN or '*'"),
        (["--property", "plan:date=x"], "'date' is no kind; there are text, number, bool, json"),
        (["--delimiter", ";;"], "';;' is not one character"),
        (["--rate", "0"], "'0' is not a number above 0"),
        (["--rate", "fast"], "'fast' is not a number above 0"),
        (["--format", "xml"], "invalid choice: 'xml'"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], message: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        run("file", *arguments)
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_rejected_rows_of_an_import_that_goes_on(
    run: Run, write: Write, tmp_path: Path, ingest: IngestServer
) -> None:
    rejects = tmp_path / "rejects"
    ingest.answer = refuse_some
    assert run(write(10), "--rejects", rejects).code == 1
    whole = rejects.read_text()
    rejects.write_text(f"{whole}what a run wrote before it crashed\n")
    assert run(write(20), "--rejects", rejects).code == 1
    assert rejects.read_text() == whole + whole.replace("10", "20")
    rejects.write_text("")
    ended = run(write(30), "--rejects", rejects)
    assert ended.code == 2
    assert "lacks rows that were rejected before; remove the state as well" in ended.err
