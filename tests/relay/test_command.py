"""`datalyr relay` as operators have it: redriving, the status port, what is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from datalyr_core.broker import message as wire
from datalyr_core.broker.intake import Source, opened
from datalyr_core.broker.queues import DEAD, events_queue
from datalyr_core.cli import main
from datalyr_core.relay.redrive import redrive
from tests.relay.conftest import StartRelay
from tests.support.ingest import OK, Answer, IngestServer
from tests.support.relays import dead_letters, event, publish
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # RabbitMQ takes its time to start
REFUSED = Answer(400, body=b"bad")


@pytest.fixture
def settings(source: Source, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a relay."""
    monkeypatch.setenv("DATALYR_API_KEY", "dk_test")
    monkeypatch.setenv("DATALYR_HOST", ingest.url)
    monkeypatch.setenv("DATALYR_BROKER", source.url)
    monkeypatch.setenv("DATALYR_BROKER_QUEUE", source.queue)


@pytest.mark.usefixtures("settings")
def test_redrive_puts_dead_letters_back(
    source: Source,
    start_relay: StartRelay,
    ingest: IngestServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ingest.answer = REFUSED
    publish(source, "one", "two", "three")
    with start_relay() as relay:
        assert eventually(lambda: relay.status["dead"] == 3, 40)
        assert ingest.names == []

        ingest.answer = OK
        assert main(["relay", "--redrive", "--limit", "2"]) == 0
        assert f"dead letters moved back to {source.queue}: 2" in capsys.readouterr().out
        assert eventually(lambda: len(ingest.names) == 2, 40)
        assert main(["relay", "--redrive"]) == 0
        assert ": 1\n" in capsys.readouterr().out
        assert eventually(lambda: sorted(ingest.names) == ["one", "three", "two"], 40)
        assert main(["relay", "--redrive"]) == 0
        assert ": 0\n" in capsys.readouterr().out


def test_two_that_redrive_at_the_same_time(source: Source) -> None:
    with opened(source) as intake:
        for name in ("one", "two"):
            intake.publish(source.queue + DEAD, wire.pack([event(name)]), wire.headers(1))

    def meanwhile() -> bool:
        return redrive(source, None, lambda: False) == 3  # which it never does

    assert redrive(source, None, meanwhile) == 0
    with opened(source) as intake:
        assert (intake.count(), intake.count_dead()) == (2, 0)


@pytest.mark.usefixtures("settings")
def test_a_redriven_letter_says_no_more_that_it_was_dead(
    source: Source, start_relay: StartRelay, ingest: IngestServer
) -> None:
    ingest.answer = REFUSED
    publish(source, "one")
    with start_relay() as relay:
        assert eventually(lambda: relay.status["dead"] == 1, 40)
        relay.terminate()
        assert relay.wait() == 0
    assert main(["relay", "--redrive"]) == 0
    with opened(source) as intake:
        assert (intake.count(), intake.count_dead()) == (1, 0)
        living = events_queue(source.queue)(intake._channel).get()
        assert wire.is_known(living.headers)
        assert not {"datalyr-status", "datalyr-reason", "datalyr-time"} & set(living.headers)
        living.requeue()
    ingest.answer = Answer(413)
    with start_relay() as relay:
        assert eventually(lambda: relay.status["dead"] == 1, 40)
    ((_, headers),) = dead_letters(source)
    assert headers["datalyr-status"] == 413
    assert wire.is_known(headers)


def test_the_status_port(source: Source, start_relay: StartRelay, ingest: IngestServer) -> None:
    with start_relay() as relay:
        assert relay.get("/health") == (200, b'{"healthy":true,"problems":[]}')
        assert relay.get("/else")[0] == 404
        assert relay.status["seconds_since_delivery"] is None
        publish(source, "one", "two", size=2)
        assert eventually(lambda: relay.status["delivered"] == 2, 40)
        status = relay.status
        assert status["by_status"] == {"200": 2}
        assert status["connected"] is True
        assert status["gate"] == "open"
        assert 0 <= status["seconds_since_delivery"] < 60
        code, text = relay.get("/metrics")
        lines = text.decode().splitlines()
        assert code == 200
        assert "datalyr_relay_delivered_total 2" in lines
        assert "datalyr_relay_healthy 1" in lines
        assert 'datalyr_relay_answers_total{status="200"} 2' in lines

        ingest.answer = Answer(401, body=b"who?")
        publish(source, "three")
        assert eventually(lambda: relay.status["dead"] == 1, 40)
        assert relay.get("/health") == (
            503,
            b'{"healthy":false,"problems":["the ingest refuses the API key: HTTP 401"]}',
        )
        assert "check api_key; events become dead letters; " in relay.log
        assert "dropped" not in relay.log
        assert "dk_test" not in relay.log


def test_no_answer_at_all_is_told(
    source: Source, start_relay: StartRelay, ingest: IngestServer
) -> None:
    with start_relay() as relay:
        ingest.stop()
        publish(source, "one")
        assert eventually(lambda: relay.problems == ["the ingest fails: no answer"], 40)
        assert relay.status["by_status"]["none"] > 0
        assert "datalyr_relay_gate_closed 1" in relay.get("/metrics")[1].decode()


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        ((), {}, "there is no broker"),
        (("--broker", "http://x"), {}, "broker is 'http://x'"),
        (("--broker", "memory://"), {"DATALYR_API_KEY": ""}, "api_key is missing"),
        (("--broker", "memory://"), {"DATALYR_ENABLED": "0"}, "DATALYR_ENABLED is off"),
        (("--limit", "3"), {}, "--limit is for --redrive"),
        (("--prefetch", "0"), {}, "'0' is not a whole number from 1 to 10000"),
    ],
)
def test_what_is_wrong_is_said_at_the_start(
    arguments: tuple[str, ...], variables: dict[str, str], message: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "datalyr_core", "relay", *arguments],
        env={**os.environ, "DATALYR_API_KEY": "dk_test", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_proxy_that_is_wrong_is_said_at_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALYR_API_KEY", "dk_test")
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy")
    assert main(["relay", "--broker", "memory://", "--host", "https://ingest.test/track"]) == 2
    assert "HTTPS_PROXY" in capsys.readouterr().err


def test_a_relay_needs_no_status_port(redis_url: str, tmp_path: Path, ingest: IngestServer) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-m", "datalyr_core", "relay", "--broker", redis_url]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--queue", "test.quiet", "--host", ingest.url],
            env={**os.environ, "DATALYR_API_KEY": "dk_test"},
            stderr=file,
        )
    try:
        assert eventually(lambda: "connected to redis://" in log.read_text(), 60)
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert "status:" not in log.read_text()


def test_a_port_that_is_taken_is_said_at_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALYR_API_KEY", "dk_test")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["relay", "--broker", "memory://", "--status-port", str(port)]
        assert main(arguments) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_broker_that_is_not_there_fails_a_redrive(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATALYR_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"amqp://somebody:secret@127.0.0.1:{port}//"
    assert main(["relay", "--broker", url, "--redrive"]) == 1
    err = capsys.readouterr().err
    assert "the broker failed" in err
    assert "secret" not in err
