"""`datalyr outbox`: what people on call see and do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datalyr_core.cli import main
from datalyr_core.commands.outbox_report import age
from datalyr_core.outbox.exporting import claimed
from datalyr_core.outbox.reading import read_events, read_status
from tests.conftest import MakeClient
from tests.outbox.conftest import MakeOutbox
from tests.support.ingest import DOWN, OK, SILENCE, Answer, IngestServer, Received
from tests.support.scripts import Scripts
from tests.support.waiting import eventually

SOON = 60.0  # seconds
Run = Callable[..., "Ended"]
Leave = Callable[..., list[str]]


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def environment(ingest: IngestServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALYR_API_KEY", "dk_test")
    monkeypatch.setenv("DATALYR_HOST", ingest.url)
    monkeypatch.setenv("DATALYR_OUTBOX", url)


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run `datalyr outbox` in this process."""

    def run(*arguments: object) -> Ended:
        capfdbinary.readouterr()
        try:
            code = main(["outbox", *map(str, arguments)])
        except SystemExit as end:
            code = int(str(end.code))
        told = capfdbinary.readouterr()
        return Ended(code, told.out.decode(), told.err.decode())

    return run


@pytest.fixture
def leave(make_client: MakeClient, ingest: IngestServer, url: str, path: Path) -> Leave:
    """Leave events in the outbox, of a client that has ended."""

    def leave(count: int, *, tried: bool = False, **options: Any) -> list[str]:
        ingest.answer = DOWN
        client = make_client(outbox=url, retry_limit=0, **options)
        ids = [str(client.track("user_1", f"Left {number}")) for number in range(count)]
        if tried:
            assert not client.flush()
        assert not client.close(timeout=0)
        # It holds the file for as long as something of it is on its way.
        assert eventually(lambda: not any(own.alive for own in read_status(path).owners), SOON)
        ingest.answer = OK
        return ids

    return leave


@pytest.fixture
def living(make_client: MakeClient, ingest: IngestServer, url: str) -> Leave:
    """Have events in the outbox, of a client that lives and is not heard by the ingest."""

    def living(count: int) -> list[str]:
        ingest.answer = lambda request: SILENCE if "Mine" in request.body["event"] else OK
        # Of another key: it would take over what those of its own left.
        client = make_client(outbox=url, api_key="dk_other", timeout=60)
        return [str(client.track("user_1", f"Mine {number}")) for number in range(count)]

    return living


def older(path: Path, seconds: float) -> None:
    """Have everything in the outbox accepted so much earlier."""
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET at = at - ?", (seconds,))
    connection.close()


def ids_in(text: str) -> list[str]:
    return [json.loads(line)["eventId"] for line in text.splitlines()]


# status


def test_status_of_the_dead_and_the_living(
    run: Run, leave: Leave, living: Leave, path: Path
) -> None:
    leave(3, tried=True)
    older(path, 2 * 3600 + 13 * 60)
    living(2)
    ended = run("status")
    assert ended.code == 0, ended
    lines = ended.out.splitlines()
    assert lines[0] == f"outbox   {path}"
    assert lines[1].startswith("tables   version 1; ")
    assert lines[2].startswith("waiting  5 events, ")
    assert lines[3:5] == [
        "         2 of living processes, which send them",
        "         3 of dead ones",
    ]
    assert lines[5].startswith("oldest   2 h 13 min (since 20")
    assert lines[6] == "because  HTTP 503 'down'"
    assert lines[7].startswith(f"process  {os.getpid()} is dead: 3 events, the oldest 2 h 13 min")
    assert lines[8].startswith(f"process  {os.getpid()} lives: 2 events, the oldest ")


def test_status_for_programs(run: Run, leave: Leave, living: Leave, path: Path) -> None:
    leave(3, tried=True)
    older(path, 100)
    living(2)
    told = json.loads(run("status", "--json").out)
    assert (told["path"], told["version"], told["events"]) == (str(path), 1, 5)
    assert (told["events_of_living"], told["events_of_dead"]) == (2, 3)
    assert 100 <= told["oldest_age"] < 100 + SOON
    assert told["bytes"] == sum(len(each.body) for each in read_events(path))
    assert told["file_bytes"] >= told["bytes"]
    [dead, alive] = told["processes"]
    assert (dead["alive"], dead["events"], dead["pid"]) == (False, 3, os.getpid())
    assert (alive["alive"], alive["events"]) == (True, 2)
    assert (dead["trouble"], alive["trouble"]) == ("HTTP 503 'down'", "")
    assert dead["key"] != alive["key"]


def test_status_of_an_outbox_without_events(run: Run, leave: Leave) -> None:
    leave(1)
    assert run("drain").code == 0
    ended = run("status", "--max-age", 0, "--max-events", 0)
    assert ended.code == 0, ended
    assert "waiting  0 events, 0 bytes" in ended.out
    assert "oldest" not in ended.out
    assert json.loads(run("status", "--json").out)["oldest_age"] is None


def test_status_for_monitoring(run: Run, leave: Leave, path: Path) -> None:
    leave(3)
    older(path, 1000)
    assert run("status", "--max-age", 5000, "--max-events", 3).code == 0
    late = run("status", "--max-age", 900)
    assert late.code == 1
    assert late.err.startswith("datalyr: an event has waited 16 min ")
    assert late.err.endswith("longer than 15 min 0 s\n")
    assert "waiting  3 events" in late.out
    many = run("status", "--max-events", 2)
    assert (many.code, many.err) == (1, "datalyr: 3 events wait, more than 2\n")


def test_status_tells_keys_apart(run: Run, leave: Leave) -> None:
    leave(1)
    assert ", key" not in run("status").out
    leave(1, api_key="dk_old_secret")
    ended = run("status")
    keys = {line.rpartition(", key ")[2] for line in ended.out.splitlines() if ", key " in line}
    assert len(keys) == 2
    assert "dk_" not in ended.out


@pytest.mark.parametrize("action", ["status", "drain", "export"])
def test_where_there_is_no_outbox(
    run: Run, action: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = run(action)
    assert (ended.code, ended.err) == (2, f"datalyr: there is no outbox at {path}\n")
    assert not path.exists()
    foreign = tmp_path / "other.db"
    foreign.write_text("this is no database, but something else that was written by hand")
    assert run(action, foreign).code == 2
    monkeypatch.setenv("DATALYR_OUTBOX", "memory")
    ended = run(action)
    assert ended.code == 2
    assert "name an outbox, or set DATALYR_OUTBOX: it is 'memory'" in ended.err
    monkeypatch.delenv("DATALYR_OUTBOX")
    assert "name an outbox, or set DATALYR_OUTBOX: it is ''" in run(action).err
    assert run(action, "redis://localhost").code == 2


@pytest.mark.parametrize("given", ["soon", "-1", "nan", "inf"])
def test_no_number_of_seconds(run: Run, given: str) -> None:
    assert "is not a number of seconds" in run("status", f"--max-age={given}").err


def test_an_outbox_can_be_named(
    run: Run, leave: Leave, path: Path, url: str, tmp_path: Path
) -> None:
    leave(2)
    for name in (path, url, os.path.relpath(path)):
        assert "waiting  2 events" in run("status", name).out


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_ages(seconds: float, told: str) -> None:
    assert age(seconds) == told


def test_what_a_server_said_moves_no_cursor(run: Run, leave: Leave, path: Path) -> None:
    leave(1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE owners SET trouble = ?", ("HTTP 503 \x1b[2J",))
    connection.close()
    assert "because  HTTP 503 �[2J\n" in run("status").out


def test_a_process_says_why_its_events_wait_and_when_they_do_not_any_more(
    make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    ingest.answer = DOWN
    client = make_client(outbox=url, retry_limit=0, flush_interval=1)
    client.track("user_1", "Mine")

    def trouble() -> str:
        return read_status(path).owners[0].trouble

    assert eventually(lambda: trouble() == "HTTP 503 'down'", SOON)
    ingest.answer = OK
    assert eventually(lambda: trouble() == "", SOON)
    assert client.flush(SOON)


# drain


def test_drain_delivers_what_the_dead_left(
    run: Run, leave: Leave, ingest: IngestServer, path: Path
) -> None:
    ids = leave(30) + leave(20)
    ended = run("drain")
    assert ended.code == 0, ended
    assert sorted(body["eventId"] for body in ingest.accepted) == sorted(ids)
    assert ended.out.splitlines() == ["delivered           50", "left                 0"]
    assert read_status(path).events == 0


def test_drain_leaves_the_living_alone(
    run: Run, leave: Leave, living: Leave, ingest: IngestServer, path: Path
) -> None:
    leave(5)
    living(2)
    ended = run("drain")
    assert ended.code == 0, ended
    assert "delivered            5" in ended.out
    assert "2 more are of living processes, which send them" in ended.out
    assert read_status(path).events == 2


def test_drain_while_the_ingest_is_down(
    run: Run, leave: Leave, ingest: IngestServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(3)
    ingest.answer = DOWN
    monkeypatch.setenv("DATALYR_RETRY_LIMIT", "0")
    ended = run("drain")
    assert ended.code == 1, ended
    assert ended.out.splitlines() == ["delivered            0", "left                 3"]
    assert "the ingest fails (HTTP 503" in ended.err
    assert read_status(path).events == 3


def test_drain_within_a_time(run: Run, leave: Leave, ingest: IngestServer, path: Path) -> None:
    leave(3)
    ingest.answer = SILENCE
    begun = time.monotonic()
    ended = run("drain", "--timeout", 0.2)
    assert time.monotonic() - begun < SOON
    assert ended.code == 1
    assert "left                 3" in ended.out


def test_drain_tells_what_is_dropped(run: Run, leave: Leave, ingest: IngestServer) -> None:
    leave(3)

    def answer(request: Received) -> Answer:
        return Answer(400) if request.body["event"] == "Left 1" else OK

    ingest.answer = answer
    ended = run("drain")
    assert ended.code == 1
    assert ended.out.splitlines() == [
        "delivered            2",
        "dropped              1  permanent_client_error",
        "left                 0",
    ]


def test_drain_needs_settings(
    run: Run, leave: Leave, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    leave(1)
    monkeypatch.setenv("DATALYR_ENABLED", "0")
    assert "DATALYR_ENABLED is off" in run("drain").err
    monkeypatch.delenv("DATALYR_ENABLED")
    monkeypatch.delenv("DATALYR_API_KEY")
    ended = run("drain")
    assert ended.code == 2
    assert "api_key" in ended.err
    assert read_status(path).events == 1


def test_drain_of_another_key(run: Run, leave: Leave, ingest: IngestServer) -> None:
    leave(2, api_key="dk_old")
    ended = run("drain")
    assert ended.code == 0, ended
    assert "2 more were accepted under another key" in ended.out
    assert ingest.accepted == []


def test_an_interrupted_drain_leaves_the_rest(
    leave: Leave, ingest: IngestServer, path: Path
) -> None:
    leave(3)
    ingest.answer = SILENCE
    with subprocess.Popen(
        [sys.executable, "-m", "datalyr_core", "outbox", "drain"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        before = len(ingest.requests)
        try:
            assert eventually(lambda: len(ingest.requests) > before, SOON)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=SOON)
        finally:
            if process.poll() is None:
                process.kill()
    assert process.returncode == 130, err
    assert "left                 3" in out


# export


def test_export_writes_what_waits_and_changes_nothing(
    run: Run, leave: Leave, living: Leave, path: Path, tmp_path: Path
) -> None:
    ids = leave(3) + living(2)
    ended = run("export")
    assert (ended.code, ended.err) == (0, "5 written\n")
    assert ids_in(ended.out) == ids
    file = tmp_path / "events.jsonl"
    assert run("export", "-o", file).code == 0
    assert file.read_text() == ended.out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_status(path).events == 5


def test_what_was_exported_can_be_imported(
    run: Run, leave: Leave, ingest: IngestServer, tmp_path: Path
) -> None:
    leave(3)
    file = tmp_path / "events.jsonl"
    sent = [json.loads(line) for line in run("export").out.splitlines()]
    run("export", "-o", file)
    assert main(["import", str(file)]) == 0
    arrived = sorted(ingest.accepted, key=lambda body: str(body["event"]))
    assert arrived == sent


def test_export_overwrites_nothing(run: Run, leave: Leave, path: Path, tmp_path: Path) -> None:
    leave(1)
    file = tmp_path / "events.jsonl"
    file.write_text("mine")
    ended = run("export", "--remove", "-o", file)
    assert (ended.code, ended.err) == (2, f"datalyr: {file} exists already\n")
    assert file.read_text() == "mine"
    assert read_status(path).events == 1


def test_export_and_remove_takes_what_the_dead_left(
    run: Run, leave: Leave, living: Leave, path: Path, tmp_path: Path
) -> None:
    ids = leave(3) + leave(2, api_key="dk_old")
    mine = living(2)
    file = tmp_path / "events.jsonl"
    ended = run("export", "--remove", "-o", file)
    assert ended.code == 0, ended
    assert ended.err.splitlines() == [
        "5 written and removed",
        "2 left: living processes hold and send them",
    ]
    assert ids_in(file.read_text()) == ids
    assert [each.event.event_id for each in read_events(path)] == mine
    assert run("export", "--remove").out == ""
    locks = {each.name for each in path.parent.glob("*-owner-*")}
    assert len(locks) == 1, locks


FILES_UP_TO_A_LENGTH = """
import resource, sys
from datalyr_core.cli import main

most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, most[1]))
code = main(["outbox", *sys.argv[1:]])
resource.setrlimit(resource.RLIMIT_FSIZE, most)
sys.exit(code)
"""


def test_a_file_that_does_not_get_all(leave: Leave, path: Path, tmp_path: Path) -> None:
    leave(400)
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            FILES_UP_TO_A_LENGTH,
            "export",
            "--output",
            str(tmp_path / "out.jsonl"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "stopped: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert read_status(path).events == 400


def test_others_write_while_much_is_removed(
    make_outbox: MakeOutbox, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dead, living = make_outbox(), make_outbox(limit=10**6, most_bytes=10**9)
    dead.put(b"e")
    first = dead._own.base + 2
    dead._file.add((first + number, 1.0, b"x" * 600) for number in range(80_000))
    dead.abandon()
    living.put(b"e")
    removed = threading.Event()

    def remove() -> None:
        try:
            with claimed(path) as claim:
                claim.remove()
        finally:
            removed.set()

    removing = threading.Thread(target=remove)
    removing.start()
    while not removed.wait(0.002):
        living.put(b"e")
    removing.join()
    assert caplog.records == []
    assert read_status(path).events == living.accepted


def test_nothing_is_removed_that_was_not_written(leave: Leave, path: Path) -> None:
    leave(3)
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "datalyr_core", "outbox", "export", "--remove"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": ""},  # it fails as late as it can
        )
    assert ended.returncode == 1
    assert "stopped: " in ended.stderr
    assert "Traceback" not in ended.stderr
    assert read_status(path).events == 3


def test_what_somebody_has_claimed_meanwhile_is_not_exported(
    run: Run, leave: Leave, make_client: MakeClient, ingest: IngestServer, url: str, path: Path
) -> None:
    leave(3)
    ingest.answer = SILENCE
    client = make_client(outbox=url, timeout=60)
    threading.Thread(target=client.drain, args=(SOON,), daemon=True).start()
    assert eventually(lambda: client.stats.taken_over, SOON)
    ended = run("export", "--remove")
    assert ended.err.splitlines()[0] == "0 written and removed"
    assert read_status(path).events == 3


KILLED = """
    import os, signal, sys
    from datalyr_core import Datalyr
    client = Datalyr.from_env()
    for number in range(20):
        client.track("user_1", f"Killed {number}")
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_is_killed(
    scripts: Scripts, run: Run, ingest: IngestServer, url: str, path: Path
) -> None:
    ingest.answer = DOWN
    with scripts.started(KILLED, outbox=url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        told = json.loads(run("status", "--json").out)
        assert (told["events_of_living"], told["events_of_dead"]) == (20, 0)
        assert told["processes"][0]["pid"] == process.pid
        process.kill()
        process.wait()
    told = json.loads(run("status", "--json").out)
    assert (told["events_of_living"], told["events_of_dead"]) == (0, 20)
    ingest.answer = OK
    assert run("drain").code == 0
    assert sorted(set(ingest.names)) == sorted({f"Killed {number}" for number in range(20)})


AS_NOBODY = """
import os, sys
from datalyr_core.cli import main
os.setgid(65534)
os.setuid(65534)
sys.exit(main(["outbox", *sys.argv[1:]]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be somebody else")
def test_a_copy_that_cannot_be_written(leave: Leave, path: Path, tmp_path: Path) -> None:
    ids = leave(3)
    folder = Path("/tmp") / f"{tmp_path.parent.parent.name}-{os.getpid()}-copy"
    folder.mkdir()
    try:
        copy = folder / path.name
        with closing(sqlite3.connect(path)) as whole, closing(sqlite3.connect(copy)) as target:
            whole.backup(target)  # the log as well
        copy.chmod(0o444)
        folder.chmod(0o555)
        ended = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, "export", str(copy)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert ended.returncode == 0, ended.stderr
    assert ids_in(ended.stdout) == ids
