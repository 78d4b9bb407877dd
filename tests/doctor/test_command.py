"""The command: its report, its exit codes, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from datalyr_core import doctor as core
from datalyr_core.cli import main
from datalyr_core.config import Config
from datalyr_core.doctor import examination, report
from datalyr_core.doctor.findings import error, ok, warning
from datalyr_core.testing import RecordingTransport
from datalyr_core.version import __version__
from tests.doctor.conftest import Doctor
from tests.support.ingest import Answer, IngestServer


def test_all_is_well(well: Doctor, ingest: IngestServer) -> None:
    told = well("--grace", "60")
    assert told.code == 0
    assert [(each["check"], each["level"]) for each in told.document["findings"]] == [
        ("key", "ok"),
        ("host", "ok"),
        ("grace", "ok"),
        ("proxy", "ok"),
        ("dns", "ok"),
        ("tcp", "ok"),
        ("tls", "skipped"),
        ("probe", "ok"),
        ("latency", "ok"),
        ("clock", "skipped"),
    ]
    assert ingest.names == ["datalyr doctor"]


def test_the_shape_of_the_json(well: Doctor, ingest: IngestServer) -> None:
    told = well()
    document = told.document
    assert list(document) == ["version", "datalyr", "host", "status", "exit_status", "findings"]
    findings = document["findings"]
    assert (document["version"], document["datalyr"]) == (1, __version__)
    assert (document["host"], document["status"], document["exit_status"]) == (ingest.url, "ok", 0)
    for finding in findings:
        assert list(finding) == ["check", "level", "seen", "todo"]
        assert all(isinstance(value, str) for value in finding.values())


def test_the_text_is_one_line_a_finding_with_what_to_do_below(well: Doctor) -> None:
    code, out = well.text("--no-probe")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "ok       key      set, starts with dk_"
    assert lines[2].startswith("skipped  grace    no server's grace period is known here")
    assert lines[3].startswith(f"{'':18}-> Give it with --grace SECONDS")
    assert lines[-2:] == ["skipped  probe    not asked for", "No problem found."]


@pytest.mark.parametrize(
    ("levels", "lenient", "strict", "words"),
    [
        ([ok], 0, 0, "No problem found."),
        ([ok, warning], 0, 1, "0 errors, 1 warning."),
        ([warning, error, error], 1, 1, "2 errors, 1 warning."),
    ],
)
def test_exit_code(levels: list[Any], lenient: int, strict: int, words: str) -> None:
    findings = [make("x", "seen") if make is ok else make("x", "seen", "do") for make in levels]
    assert report.exit_status(findings, strict=False) == lenient
    assert report.exit_status(findings, strict=True) == strict
    assert report.summary(findings) == words


def test_strict_makes_a_warning_count(well: Doctor, ingest: IngestServer) -> None:
    ingest.answer = Answer(429)
    assert well().document["status"] == "warning"
    assert (well().code, well("--strict").code) == (0, 1)


@pytest.mark.parametrize(
    "arguments", [["--timeout", "0"], ["--timeout", "x"], ["--grace", "-1"], ["--what"]]
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["doctor", *arguments])
    assert left.value.code == 2
    assert "usage: datalyr" in capsys.readouterr().err


def test_the_key_is_never_shown(well: Doctor, ingest: IngestServer) -> None:
    ingest.answer = Answer(401, body=b"no such key: dk_very_secret")
    well.variables(DATALYR_API_KEY="dk_very_secret")
    code, out = well.text()
    assert code == 1
    assert "no such key: <api_key>" in out
    assert "very_secret" not in out


def test_what_the_ingest_says_cannot_play_with_the_terminal() -> None:
    line = report.line(error("probe", "red \x1b[31m\nnext", "do"))
    assert line == f"error    probe    red \\x1b[31m next\n{'':18}-> do"


def test_a_terminal_without_the_letters(well: Doctor, ingest: IngestServer) -> None:
    ingest.answer = Answer(200, body="schön".encode())
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "datalyr_core", "doctor"]
    done = subprocess.run(command, env=environ, capture_output=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"sch\\xf6n" in done.stdout


def test_a_check_that_fails_itself_is_a_finding(
    well: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(config: Config) -> Any:
        raise ZeroDivisionError("dk_test")

    monkeypatch.setattr(examination, "check_config", broken)
    told = well()
    assert told.of("config") == [("error", "the check failed itself: ZeroDivisionError: <api_key>")]
    assert told.one("probe")["level"] == "ok"


def test_it_can_be_asked_from_a_program() -> None:
    transport = RecordingTransport()
    config = Config(api_key="dk_1", transport=transport)
    checks = {finding.check: finding.level for finding in core.examine(config)}
    assert checks["network"] is core.Level.SKIPPED
    assert checks["probe"] is core.Level.OK
    (body,) = transport.bodies
    assert json.loads(body)["event"] == "datalyr doctor"


def test_ctrl_c_ends_neatly(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, says nothing
        doctor.variables(DATALYR_HOST=f"http://127.0.0.1:{silent.getsockname()[1]}/track")
        command = [sys.executable, "-m", "datalyr_core", "doctor", "--timeout", "60"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert any(line.startswith("skipped  tls") for line in process.stdout)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "datalyr: stopped\n")


def test_nobody_reads_the_report(well: Doctor) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "datalyr_core", "doctor", "--no-probe"]
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_command_is_installed(folder: Path) -> None:
    command = Path(sys.executable).with_name("datalyr")
    shown = subprocess.run([command, "--help"], capture_output=True, timeout=50, check=True)
    assert b"doctor" in shown.stdout
