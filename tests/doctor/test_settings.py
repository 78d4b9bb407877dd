"""The key, the host, options and variables."""

from __future__ import annotations

import pytest

from tests.doctor.conftest import Doctor


@pytest.mark.parametrize(
    ("key", "level", "seen"),
    [
        ("", "error", "api_key is missing; copy it from Datalyr's settings (dk_…)"),
        ("dk_a b", "error", "api_key holds a character that no key has; copy it again (dk_…)"),
        ("dk_a\nb", "error", "api_key holds a character that no key has; copy it again (dk_…)"),
        ("'dk_a'", "error", "it is set with quotes around it"),
        ('dk_a"', "error", "it is set with quotes around it"),
        ("pk_a", "warning", "it is set, but does not start with dk_"),
    ],
)
def test_key(doctor: Doctor, key: str, level: str, seen: str) -> None:
    told = doctor("--no-probe", DATALYR_API_KEY=key, DATALYR_HOST="http://127.0.0.1:1/track")
    found = told.one("key")
    assert (found["level"], found["seen"]) == (level, seen)
    assert found["todo"] == "Remove the quotes." if "quotes" in seen else "Copy" in found["todo"]


def test_a_key_that_is_somewhere_else(doctor: Doctor) -> None:
    """Of whoever runs the command beside an application that has its key in its own settings."""
    todo = doctor("--no-probe", DATALYR_API_KEY="").one("key")["todo"]
    assert "DATALYR_API_KEY" in todo
    assert "--app" in todo
    assert "manage.py datalyr doctor" in todo


@pytest.mark.parametrize(
    ("host", "level", "seen"),
    [
        ("ingest.example", "error", "host is 'ingest.example'"),
        ("http://ingest.invalid/track", "warning", "is not https: anyone on the way reads the key"),
        ("https://ingest.invalid", "warning", "https://ingest.invalid has no path"),
        ("https://ingest.invalid/", "warning", "https://ingest.invalid/ has no path"),
        ("https://ingest.invalid/track/", "warning", "has a slash at its end"),
        (
            "https://me:pass@ingest.invalid/track",
            "error",
            "https://<hidden>@ingest.invalid/track is written",
        ),
        ("https://ingest.invalid/track", "ok", "https://ingest.invalid/track"),
        ("http://localhost:1/track", "ok", "http://localhost:1/track"),
    ],
)
def test_host(doctor: Doctor, host: str, level: str, seen: str) -> None:
    told = doctor("--no-probe", DATALYR_HOST=host)
    found = told.one("host")
    assert found["level"] == level
    assert seen in found["seen"]
    assert "pass" not in str(told.document)
    assert bool(found["todo"]) is (level != "ok")


def test_every_problem_is_a_finding_of_its_own(doctor: Doctor) -> None:
    told = doctor(DATALYR_FLUSH_AT="many", DATALYR_API_KEY="dk a", DATALYR_OUTBOX="bucket")
    assert told.code == 1
    assert told.document["host"] is None
    assert told.one("key")["level"] == "error"
    assert [seen.split()[0] for _, seen in told.of("options")] == ["flush_at", "outbox"]


def test_options_out_of_range_and_variables_that_mean_nothing(doctor: Doctor) -> None:
    told = doctor(
        "--no-probe",
        DATALYR_HOST="http://127.0.0.1:1/track",
        DATALYR_FLUSH_INTERVAL=10_000,
        DATALYR_APIKEY="dk_test",
        DATALYR_SOMETHING_ELSE="1",
    )
    seen = [text for level, text in told.of("options") if level == "warning"]
    assert seen == [
        "flush_interval='10000' is out of range (1 to 3600 seconds); 3600 seconds is used",
        "DATALYR_APIKEY is set and means nothing",
    ]


def test_a_client_that_is_off(doctor: Doctor) -> None:
    told = doctor(DATALYR_ENABLED="no", DATALYR_API_KEY="", DATALYR_HOST="http://127.0.0.1:1/track")
    assert told.one("enabled")["level"] == "warning"
    assert told.one("key") == {
        "check": "key",
        "level": "skipped",
        "seen": "none is set",
        "todo": "",
    }
    assert told.one("probe")["seen"] == "the option enabled is off"


@pytest.mark.parametrize("live", ["0", "false"])
def test_what_lets_no_test_run_through_is_not_mentioned(doctor: Doctor, live: str) -> None:
    told = doctor("--no-probe", DATALYR_HOST="http://127.0.0.1:1/track", DATALYR_LIVE=live)
    assert told.of("guard") == told.of("options") == []


def test_what_lets_a_test_run_reach_the_ingest_is_mentioned(doctor: Doctor) -> None:
    told = doctor("--no-probe", DATALYR_HOST="http://127.0.0.1:1/track", DATALYR_LIVE=1)
    assert told.one("guard")["seen"].startswith("DATALYR_LIVE is set")
    assert told.of("options") == []
