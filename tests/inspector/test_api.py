from __future__ import annotations

from typing import Any

import httpx
import pytest

from datalyr_core.inspector.contract import MAX_BODY

from .wire import HEADERS, body, encoded


@pytest.fixture
def filled(http: httpx.Client) -> httpx.Client:
    for document in (
        body("one", "anon_1"),
        body("two", "anon_2", userId="user_2"),
        body("one", "anon_2", userId="user_2", eventId="the third"),
    ):
        http.post("/track", content=encoded(document), headers=HEADERS)
    return http


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [1, 2, 3]),
        ({"anonymous_id": "anon_2"}, [2, 3]),
        ({"user_id": "user_2"}, [2, 3]),
        ({"user_id": "nobody"}, []),
        ({"event": "one"}, [1, 3]),
        ({"event_id": "the third"}, [3]),
        ({"event": "one", "anonymous_id": "anon_2"}, [3]),
        ({"after": "1"}, [2, 3]),
        ({"after": "1", "limit": "1"}, [2]),
        ({"limit": "0"}, []),
    ],
)
def test_events_are_filtered(
    filled: httpx.Client, query: dict[str, str], expected: list[int]
) -> None:
    listed = filled.get("/api/events", params=query).json()
    assert [event["seq"] for event in listed["events"]] == expected
    assert listed["total"] == 3


def test_attempts_are_filtered_too(filled: httpx.Client) -> None:
    filled.put("/api/faults", json={"status": 503})
    for name in ("one", "two"):
        filled.post("/track", content=encoded(body(name)), headers=HEADERS)
    listed = filled.get("/api/attempts", params={"event": "two"}).json()
    assert [attempt["event"] for attempt in listed["attempts"]] == ["two"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            {"anon": "x"},
            "unknown: anon; there are anonymous_id, user_id, event, event_id, after, limit",
        ),
        ({"after": "x"}, "after must be a whole number, not 'x'"),
        ({"after": "-1"}, "after must be a whole number, not '-1'"),
        ({"limit": ""}, "limit must be a whole number, not ''"),
        ({"limit": "٣"}, "limit must be a whole number, not '٣'"),
        ({"limit": "1" * 17}, f"limit must be a whole number, not '{'1' * 17}'"),
    ],
)
def test_a_query_that_makes_no_sense(
    http: httpx.Client, query: dict[str, str], message: str
) -> None:
    answer = http.get("/api/events", params=query)
    assert (answer.status_code, answer.json()["error"]) == (400, message)


def test_clearing_forgets_events_counts_and_ids_but_not_the_fault(filled: httpx.Client) -> None:
    filled.put("/api/faults", json={"status": 503, "count": 3})
    assert filled.delete("/api/events").json() == {"success": True}
    listed = filled.get("/api/events").json()
    assert listed.pop("faults") == {"status": 503, "count": 3}
    assert listed.pop("events") == []
    assert set(listed.values()) == {0}


@pytest.mark.parametrize("cleared", [{}, {"cut": False}])
def test_a_fault_is_shown_and_cleared(http: httpx.Client, cleared: dict[str, Any]) -> None:
    fault = {"status": 503, "count": 3}
    assert http.put("/api/faults", json=fault).json() == fault
    assert http.get("/api/faults").json() == fault
    assert http.put("/api/faults", json=cleared).json() == {}
    assert http.get("/api/faults").json() == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"status": 42}', "status must be a whole number from 400 to 599, not 42"),
        (b"{", "Expecting property name"),
        (b"1" * (MAX_BODY + 1), "a fault is a small object, not a megabyte"),
    ],
)
def test_nonsense_leaves_the_fault_as_it_was(
    http: httpx.Client, content: bytes, message: str
) -> None:
    fault = {"status": 503, "count": 3}
    http.put("/api/faults", json=fault)
    answer = http.put("/api/faults", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)
    assert http.get("/api/faults").json() == fault


def test_health(http: httpx.Client) -> None:
    assert http.get("/api/health").json() == {"ok": True, "service": "datalyr-inspector"}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/track"), ("POST", "/api/events"), ("POST", "/api/faults")]
)
def test_other_methods_are_refused(http: httpx.Client, method: str, path: str) -> None:
    assert http.request(method, path).status_code == 405


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/style.css", "text/css; charset=utf-8"),
        ("/static/main.js", "text/javascript; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_and_its_files_are_served(http: httpx.Client, path: str, media_type: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)


@pytest.mark.parametrize("name", ["none.js", "..%2Fapp.py", "%2Fetc%2Fpasswd"])
def test_no_other_file_is(http: httpx.Client, name: str) -> None:
    assert http.get(f"/static/{name}").status_code == 404
