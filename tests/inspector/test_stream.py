from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from datalyr_core.inspector.server import RunningInspector, running
from datalyr_core.inspector.store import Store
from datalyr_core.inspector.stream import BATCH

from .wire import HEADERS, body, encoded


@dataclass
class Frame:
    name: str
    id: str
    data: Any


@contextmanager
def lines(http: httpx.Client, headers: dict[str, str] | None = None, **query: Any) -> Iterator[Any]:
    with http.stream("GET", "/api/stream", params=query, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield response.iter_lines()


def frames(source: Iterator[str]) -> Iterator[Frame]:
    fields: dict[str, str] = {}
    for line in source:
        name, _, value = line.partition(": ")
        fields[name] = value
        if name == "" and "data" in fields:
            yield Frame(fields["event"], fields["id"], json.loads(fields["data"]))
            fields = {}


def send(http: httpx.Client, name: str) -> None:
    http.post("/track", content=encoded(body(name)), headers=HEADERS)


def until_state(read: Iterator[Frame]) -> list[Frame]:
    found = []
    for frame in read:
        found.append(frame)
        if frame.name == "state":
            return found
    raise AssertionError("the stream ended")


def names(found: list[Frame]) -> list[str]:
    return [f.data["event"]["event"] if f.name == "event" else f.name for f in found]


def test_what_is_kept_comes_first_and_what_arrives_follows(http: httpx.Client) -> None:
    send(http, "one")
    with lines(http) as source:
        read = frames(source)
        assert names(until_state(read)) == ["reset", "one", "state"]
        send(http, "two")
        event, state = until_state(read)
        assert event.data["event"] == body("two")
        assert state.data["total"] == 2


def test_attempts_faults_and_clears_are_streamed(http: httpx.Client) -> None:
    with lines(http) as source:
        read = frames(source)
        reset, _ = until_state(read)
        assert reset.data == {"max_events": 2000}
        http.put("/api/faults", json={"status": 503, "count": 1})
        assert until_state(read)[0].data["faults"] == {"status": 503, "count": 1}
        send(http, "one")
        attempt, state = until_state(read)
        assert (attempt.name, attempt.data["answer"]) == ("attempt", "503")
        assert state.data["faults"] == {}
        http.delete("/api/events")
        assert names(until_state(read)) == ["reset", "state"]


def test_a_client_goes_on_where_it_was(http: httpx.Client) -> None:
    with lines(http) as source:
        send(http, "one")
        read = frames(source)
        place = next(frame.id for frame in read if frame.name == "event")
    send(http, "two")
    with lines(http, {"Last-Event-ID": place}) as source:
        assert names(until_state(frames(source))) == ["two", "state"]


def test_after_a_clear_a_client_starts_again(http: httpx.Client) -> None:
    with lines(http) as source:
        send(http, "one")
        read = frames(source)
        place = next(frame.id for frame in read if frame.name == "event")
    http.delete("/api/events")
    send(http, "two")
    with lines(http, {"Last-Event-ID": place}) as source:
        assert names(until_state(frames(source))) == ["reset", "two", "state"]


def test_a_client_may_ask_for_what_came_after_a_number(http: httpx.Client) -> None:
    for name in ("one", "two"):
        send(http, name)
    with lines(http, after=1) as source:
        assert names(until_state(frames(source))) == ["two", "state"]


@pytest.mark.parametrize(
    ("headers", "query"), [({"Last-Event-ID": "era-x"}, {}), ({}, {"after": "x"})]
)
def test_a_place_that_makes_no_sense(
    http: httpx.Client, headers: dict[str, str], query: dict[str, str]
) -> None:
    answer = http.get("/api/stream", params=query, headers=headers)
    assert answer.status_code == 400
    assert "must be a whole number, not 'x'" in answer.json()["error"]


def test_a_long_backlog_comes_in_order(http: httpx.Client) -> None:
    for number in range(BATCH + 1):
        send(http, f"event {number}")
    with lines(http) as source:
        read = frames(source)
        found = [next(read) for _ in range(BATCH + 4)]
    events = [frame.data["seq"] for frame in found if frame.name == "event"]
    assert events == list(range(1, BATCH + 2))


def test_silence_is_filled_with_comments() -> None:
    with (
        running(keep_alive=0.05) as inspector,
        httpx.Client(base_url=inspector.url, trust_env=False) as http,
        lines(http) as source,
    ):
        comments = (line for line in source if line.startswith(":"))
        assert next(comments) == ": keep-alive"
        assert next(comments) == ": keep-alive"


def test_the_client_is_told_the_bound() -> None:
    with (
        running(store=Store(max_events=7)) as inspector,
        httpx.Client(base_url=inspector.url, trust_env=False) as http,
        lines(http) as source,
    ):
        assert next(frames(source)).data == {"max_events": 7}


def test_stopping_ends_open_streams(inspector: RunningInspector, http: httpx.Client) -> None:
    with lines(http) as source:
        read = frames(source)
        until_state(read)
        start = time.monotonic()
        inspector.stop()
        assert list(read) == []
        assert time.monotonic() - start < 1.5
