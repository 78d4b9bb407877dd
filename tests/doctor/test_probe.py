"""One event, and what the ingest says to it."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest

from datalyr_core import Config, TransportError
from datalyr_core.doctor.probe import SLOW, probe
from tests.doctor.conftest import Doctor
from tests.support.ingest import GARBAGE, SILENCE, Answer, IngestServer, slow


def test_it_is_an_event_like_any_other_with_an_id_of_its_own(
    well: Doctor, ingest: IngestServer
) -> None:
    for _ in range(2):
        assert well().one("probe")["seen"] == (
            "the ingest answered 200: {\"success\":true} (event 'datalyr doctor')"
        )
    first, second = ingest.requests
    assert first.headers["x-api-key"] == "dk_test"
    assert first.body["event"] == "datalyr doctor"
    assert first.body["eventId"].startswith("doctor-")
    assert first.body["eventId"] != second.body["eventId"]


@pytest.mark.parametrize(
    ("status", "level", "todo"),
    [
        (401, "error", "copy it again"),
        (403, "error", "copy it again"),
        (404, "error", "Nothing is at that path"),
        (405, "error", "takes no POST"),
        (413, "error", "body limit"),
        (429, "warning", "fewer events"),
        (500, "error", "trouble of its own"),
        (408, "error", "trouble of its own"),
        (307, "error", "Redirects are not followed"),
        (418, "error", "does not take events here"),
    ],
)
def test_every_status_comes_with_what_to_do(
    well: Doctor, ingest: IngestServer, status: int, level: str, todo: str
) -> None:
    ingest.answer = Answer(status, body=b"  why  ")
    told = well()
    found = told.one("probe")
    assert (found["level"], found["seen"]) == (level, f"the ingest answered {status}: why")
    assert todo in found["todo"]
    assert told.code == int(level == "error")


def test_an_answer_without_a_word(well: Doctor, ingest: IngestServer) -> None:
    ingest.answer = Answer(500, body=b"")
    assert well().one("probe")["seen"] == "the ingest answered 500"


def test_a_slow_answer(well: Doctor, ingest: IngestServer) -> None:
    ingest.answer = slow(SLOW + 0.1)
    told = well("--timeout", "30")
    assert (told.code, told.one("latency")["level"]) == (0, "warning")


def test_no_answer_in_time(well: Doctor, ingest: IngestServer) -> None:
    ingest.answer = SILENCE
    found = well("--timeout", "3").one("probe")
    assert found["level"] == "error"
    assert found["seen"].startswith("no answer to an event: ReadTimeout")


def test_an_answer_that_is_not_http(well: Doctor, ingest: IngestServer) -> None:
    ingest.answer = GARBAGE
    assert "RemoteProtocolError" in well().one("probe")["seen"]


@pytest.mark.parametrize(
    ("ahead", "level", "seen"),
    [(0, "ok", "within 60 s"), (-7200, "warning", "ahead of"), (7200, "warning", "behind")],
)
def test_the_clock_is_compared_with_the_ingests(
    well: Doctor, ingest: IngestServer, ahead: int, level: str, seen: str
) -> None:
    ingest.answer = Answer(headers={"dAtE": formatdate(time.time() + ahead, usegmt=True)})
    found = well().one("clock")
    assert found["level"] == level
    assert seen in found["seen"]


def test_a_date_that_is_none(well: Doctor, ingest: IngestServer) -> None:
    ingest.answer = Answer(headers={"Date": "tomorrow"})
    assert well().one("clock")["level"] == "skipped"


class Own:
    """A transport of an application's own."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def send(self, body: bytes) -> Any:
        assert json.loads(body)["event"] == "datalyr doctor"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (TransportError("broken pipe"), "no answer to an event: broken pipe"),
        (RuntimeError(), "no answer to an event: RuntimeError"),
        ("fine", "no answer to an event: the transport returned 'fine', not a Reply"),
    ],
)
def test_a_transport_of_the_applications_own(answer: Any, seen: str) -> None:
    (found,) = probe(Config(api_key="dk_1", transport=Own(answer)), timeout=20)
    assert (found.level, found.seen) == ("error", seen)


def test_a_transport_that_hangs_is_left_behind() -> None:
    class Hanging:
        def send(self, body: bytes) -> Any:
            time.sleep(3)

    (found,) = probe(Config(api_key="dk_1", transport=Hanging()), timeout=0.1)
    assert found.seen == "no answer to an event: TimeoutError"
