"""`datalyr send` against a local ingest."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from datalyr_core.cli import main
from tests.support.ingest import SILENCE, Answer, IngestServer
from tests.support.waiting import eventually

Send = Callable[..., int]


@pytest.fixture
def send(ingest: IngestServer, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Run the command with a key in the environment; an event that fails is not retried."""
    variables = {"API_KEY": "dk_secret", "HOST": ingest.url, "RETRY_LIMIT": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(f"DATALYR_{name}", value)

    def run(*arguments: str, **also: str) -> int:
        for name, value in also.items():
            monkeypatch.setenv(name, value)
        return main(["send", *arguments])

    return run


def refused(send: Send, *arguments: str) -> None:
    with pytest.raises(SystemExit) as left:
        send(*arguments)
    assert left.value.code == 2


def test_an_event_is_delivered_and_the_answer_shown(
    send: Send, ingest: IngestServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("Signed Up", "--user-id", "user_1") == 0

    (request,) = ingest.requests
    assert request.headers["x-api-key"] == "dk_secret"
    assert request.body["event"] == "Signed Up"
    assert request.body["userId"] == "user_1"
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        request.body["eventId"],
        'delivered: the ingest answered 200 {"success":true}',
    ]
    assert not err


def test_all_that_an_event_can_have(
    send: Send, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"plan": "free", "list": [1, null]}'))
    options = ["--anonymous-id", "anon_1", "--event-id", "order-1", "--properties", "-"]
    options += ["--timestamp", "1751373296"]
    options += ["--property", "plan=pro", "--property", "amount=99.990"]
    options += ["--property", "note=a=b", "--property", 'zip="01234"', "--property", "odd=NaN"]
    options += ["--property", "none="]

    assert send("Bought", *options) == 0

    (request,) = ingest.requests
    assert b'"amount":99.990' in request.raw  # as it was written
    assert request.body["anonymousId"] == "anon_1"
    assert request.body["eventId"] == "order-1"
    assert request.body["timestamp"] == "2025-07-01T12:34:56.000Z"
    assert request.body["properties"] == {
        "anonymous_id": "anon_1",
        "plan": "pro",
        "list": [1, None],
        "amount": 99.99,
        "note": "a=b",
        "zip": "01234",
        "odd": "NaN",
        "none": "",
    }


def test_a_timestamp_may_be_iso(send: Send, ingest: IngestServer) -> None:
    assert send("Bought", "--user-id", "1", "--timestamp", "2026-07-01T14:34:56+02:00") == 0
    assert ingest.requests[0].body["timestamp"] == "2026-07-01T12:34:56.000Z"


def test_an_outcome_as_json(
    send: Send, ingest: IngestServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send("Bought", "--event-id", "order-1", "--user-id", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "event_id": "order-1",
        "delivered": True,
        "status": 200,
        "answer": '{"success":true}',
    }


BAD_KEY = Answer(401, body=b"dk_secret is no key \x1b[31m")


def test_a_refused_event_is_status_1_and_hides_the_key(
    send: Send, ingest: IngestServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest.answer = BAD_KEY

    assert send("Bought", "--event-id", "order-1", "--user-id", "1") == 1

    out, err = capsys.readouterr()
    assert out == "order-1\n"
    assert err.endswith(
        "datalyr: not delivered: the ingest answered 401 <api_key> is no key �[31m\n"
    )
    assert len(ingest.requests) == 1


def test_a_refused_event_as_json(
    send: Send, ingest: IngestServer, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest.answer = BAD_KEY
    assert send("Bought", "--event-id", "order-1", "--user-id", "1", "--json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "event_id": "order-1",
        "delivered": False,
        "status": 401,
        "answer": "<api_key> is no key \x1b[31m",
    }


def test_nobody_answers(
    send: Send,
    ingest: IngestServer,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    ingest.refuse()
    assert send("Bought", "--user-id", "1", "--json") == 1
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["status"] is None
    assert "ConnectError" in outcome["error"]
    assert not outcome["delivered"]
    assert not [line for line in caplog.messages if "close()" in line]  # it says so itself


def test_a_failing_ingest_is_tried_again(send: Send, ingest: IngestServer) -> None:
    ingest.script.append(Answer(503))
    assert send("Bought", "--user-id", "1", DATALYR_RETRY_LIMIT="1") == 0
    assert len(ingest.requests) == 2


def test_a_host_wins_over_the_environments(send: Send, ingest: IngestServer) -> None:
    dead = "http://127.0.0.1:9/track"
    assert send("Bought", "--user-id", "1", "--host", ingest.url, DATALYR_HOST=dead) == 0
    assert ingest.names == ["Bought"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATALYR_API_KEY": ""}, "the key is read from the environment's DATALYR_API_KEY"),
        ({"DATALYR_HOST": "ftp://x"}, "host is 'ftp://x'; write a URL"),
        ({"DATALYR_ENABLED": "off"}, "nothing is sent while DATALYR_ENABLED is off"),
        (
            {"DATALYR_HOST": "http://ingest.test/track", "http_proxy": "odd://x"},
            "HTTP cannot be set up",
        ),
    ],
)
def test_a_wrong_setting_is_status_2(
    variables: dict[str, str],
    message: str,
    send: Send,
    ingest: IngestServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert send("Bought", "--user-id", "1", **variables) == 2
    assert message in capsys.readouterr().err
    assert not ingest.requests


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: EVENT"),
        (["  "], "argument EVENT: it is empty"),
        (["X", "--event-id", ""], "argument --event-id: it is empty"),
        (["X", "--timestamp", "soon"], "'soon' is no moment"),
        (["X", "--timestamp", "1e40"], "'1e40' is no moment"),
        (["X", "--property", "plan"], "'plan' is not NAME=VALUE"),
        (["X", "--property", "=pro"], "'=pro' is not NAME=VALUE"),
        (["X", "--properties", "{"], "it is no JSON: "),
        (["X", "--properties", '{"a": NaN}'], "it is no JSON: JSON has no NaN"),
        (["X", "--properties", "[]"], "it is no JSON object"),
        (["X", "--api-key", "dk_secret"], "the key is read from the environment's"),
        (["X", "--api-key=dk_secret"], "the key is read from the environment's"),
    ],
)
def test_a_wrong_argument_is_status_2(
    arguments: list[str], message: str, send: Send, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(send, *arguments)
    err = capsys.readouterr().err
    assert message in err
    assert "dk_secret" not in err


def test_help_says_where_the_key_comes_from(send: Send, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        send("--help")
    out = capsys.readouterr().out
    assert left.value.code == 0
    assert "DATALYR_API_KEY" in out
    assert "--api-key" not in out


def test_ctrl_c_ends_the_wait(ingest: IngestServer) -> None:
    ingest.answer = SILENCE
    variables: dict[str, Any] = {"DATALYR_API_KEY": "dk_secret", "DATALYR_HOST": ingest.url}
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "datalyr_core", "send", "Bought", "--user-id", "1"],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert eventually(lambda: ingest.requests, 30)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 1
    assert out == f"{ingest.requests[0].body['eventId']}\n"
    assert err == "datalyr: not delivered: stopped before an answer came\n"
