from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest

from datalyr_core.inspector.contract import MAX_BODY
from datalyr_core.inspector.ingest import MAX_DRAINED
from datalyr_core.inspector.server import RunningInspector

from .wire import HEADERS, KEY, body, encoded, eventually, without


def post(http: httpx.Client, document: object = None, path: str = "/track") -> httpx.Response:
    return http.post(path, content=encoded(document or body()), headers=HEADERS)


def connect(inspector: RunningInspector) -> socket.socket:
    address = urlsplit(inspector.url)
    return socket.create_connection((address.hostname, address.port), timeout=10)


@pytest.mark.parametrize("path", ["/track", "/"])
def test_an_event_is_kept_and_answered(http: httpx.Client, path: str) -> None:
    answer = post(http, path=path)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "seq": 1, "duplicate": False, "violations": []}
    listed = http.get("/api/events").json()
    (event,) = listed.pop("events")
    assert event.pop("received_at").endswith("Z")
    expected = {"seq": 1, "event": body(), "duplicate": False, "violations": [], "key": "dk_…42"}
    assert event == expected
    zeros = {"duplicates": 0, "violations": 0, "faulted": 0, "faults": {}}
    assert listed == {"total": 1, "requests": 1, **zeros}


def test_a_repeat_is_marked(http: httpx.Client) -> None:
    post(http)
    assert post(http).json()["duplicate"] is True
    listed = http.get("/api/events").json()
    assert [event["duplicate"] for event in listed["events"]] == [False, True]
    assert listed["duplicates"] == 1


def test_an_event_with_violations_is_kept_with_them(http: httpx.Client) -> None:
    answer = post(http, body(userId=""))
    violation = 'userId: it must be a non-empty string, not ""'
    assert (answer.status_code, answer.json()["violations"]) == (200, [violation])
    listed = http.get("/api/events").json()
    assert (listed["violations"], listed["events"][0]["violations"]) == (1, [violation])


def test_a_lone_surrogate_can_be_listed(http: httpx.Client) -> None:
    http.post("/track", content=b'{"event": "\\ud800"}', headers=HEADERS)
    assert http.get("/api/events").json()["events"][0]["event"] == {"event": "\ud800"}


@pytest.mark.parametrize(
    ("headers", "content", "status", "violation"),
    [
        (without(HEADERS, "X-API-Key"), encoded(body()), 401, "X-API-Key: it is missing"),
        (HEADERS, b'{"a": NaN}', 400, "body: NaN is not JSON"),
        (HEADERS, b"x" * (MAX_BODY + 1), 413, f"body: more than {MAX_BODY} bytes"),
    ],
)
def test_a_refused_request_is_an_attempt(
    http: httpx.Client, headers: dict[str, str], content: bytes, status: int, violation: str
) -> None:
    answer = http.post("/track", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json() == {"success": False, "error": violation}
    listed = http.get("/api/attempts").json()
    (attempt,) = listed["attempts"]
    assert (attempt["answer"], attempt["fault"]) == (str(status), False)
    assert attempt["violations"] == [violation]
    assert (listed["total"], listed["requests"], listed["violations"]) == (0, 1, 1)


def test_a_body_of_just_the_limit_is_read(http: httpx.Client) -> None:
    frame = encoded(body(properties={"filler": ""}))
    filler = "x" * (MAX_BODY - len(frame))
    assert post(http, body(properties={"filler": filler})).status_code == 200


def test_an_endless_body_is_not_read_to_its_end(inspector: RunningInspector) -> None:
    with connect(inspector) as client:
        head = f"POST /track HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {10**12}\r\n\r\n"
        client.sendall(head.encode())
        # Its end is a reset or a closed pipe, long before the promised terabyte.
        assert MAX_DRAINED < sent_until_closed(client) < 64 * MAX_BODY


def sent_until_closed(client: socket.socket) -> int:
    sent = 0
    with suppress(ConnectionError):
        while sent < 64 * MAX_BODY:
            sent += client.send(b"x" * MAX_BODY)
    return sent


def test_a_client_that_leaves_amid_its_body_is_no_error(
    inspector: RunningInspector, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with connect(inspector) as client:
        head = "POST /track HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{"
        client.sendall(head.encode())
    post(http)
    inspector.stop()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_the_key_is_never_shown(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    post(http)
    http.post("/track", content=b"{", headers=HEADERS)
    shown = http.get("/api/events").text + http.get("/api/attempts").text
    assert "dk_…42" in shown
    assert KEY not in shown
    assert KEY not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("datalyr")
    )
    assert "event 1, violations: []" in caplog.text


def test_a_status_fault_answers_so_many_requests(http: httpx.Client) -> None:
    assert http.put("/api/faults", json={"status": 503, "count": 2}).status_code == 200
    answers = [post(http) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].json() == {"success": False, "error": "a fault that was asked for"}
    assert "retry-after" not in answers[0].headers
    listed = http.get("/api/attempts").json()
    assert [(a["answer"], a["fault"], a["eventId"]) for a in listed["attempts"]] == [
        ("503", True, "id of signed_up")
    ] * 2
    assert (listed["faulted"], listed["total"], listed["requests"]) == (2, 1, 3)
    assert listed["faults"] == {}


def test_a_fault_can_say_when_to_come_back(http: httpx.Client) -> None:
    http.put("/api/faults", json={"status": 429, "retry_after": 2, "count": None})
    answer = post(http)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert http.get("/api/faults").json() == {"status": 429, "retry_after": 2, "count": None}


def test_a_slow_ingest_accepts_late(http: httpx.Client) -> None:
    http.put("/api/faults", json={"delay": 0.3, "count": 1})
    start = time.monotonic()
    assert post(http).status_code == 200
    assert time.monotonic() - start >= 0.3
    listed = http.get("/api/events").json()
    assert (len(listed["events"]), listed["faulted"]) == (1, 1)
    assert http.get("/api/attempts").json()["attempts"][0]["answer"] == "answered after 0.3 s"


def test_a_cut_connection_has_no_answer_at_all(
    inspector: RunningInspector, http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    http.put("/api/faults", json={"cut": True, "count": 1})
    with connect(inspector) as client:
        content = encoded(body())
        head = f"POST /track HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\n\r\n"
        client.sendall(head.encode() + content)
        assert client.recv(1024) == b""
    assert http.get("/api/attempts").json()["attempts"][0]["answer"] == "cut"
    assert post(http).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_stopping_does_not_wait_for_a_slow_answer(
    inspector: RunningInspector, http: httpx.Client
) -> None:
    http.put("/api/faults", json={"delay": 60})
    with httpx.Client(base_url=inspector.url, timeout=20, trust_env=False) as slow:
        thread = threading.Thread(target=post, args=(slow,))
        thread.start()
        eventually(lambda: http.get("/api/attempts").json()["faulted"] == 1)
        start = time.monotonic()
        inspector.stop()
        assert time.monotonic() - start < 2
        thread.join()
