from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Message

from datalyr_core.inspector.app import create_app
from datalyr_core.inspector.security import is_known_host

from .wire import HEADERS, body, encoded

EVERYWHERE = "0.0.0.0"


@pytest.mark.parametrize(
    ("header", "bound", "known"),
    [
        ("127.0.0.1:8765", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.8.8.8:1", "127.0.0.1", True),
        ("localhost:8765", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("shop.localhost:8765", "127.0.0.1", True),
        ("[::1]:8765", "127.0.0.1", True),
        ("devbox:8765", "DevBox", True),
        ("192.168.1.7:8765", "192.168.1.7", True),
        ("192.168.1.7:8765", EVERYWHERE, True),
        ("[fd00::7]:8765", "::", True),
        ("192.168.1.7:8765", "127.0.0.1", False),
        ("evil.example:8765", "127.0.0.1", False),
        ("evil.example:8765", EVERYWHERE, False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("notlocalhost", "127.0.0.1", False),
        ("[::1", "127.0.0.1", True),
        ("", "127.0.0.1", False),
    ],
)
def test_known_hosts(header: str, bound: str, known: bool) -> None:
    assert is_known_host(header, bound) is known


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_rebound_name_is_refused(http: httpx.Client, method: str) -> None:
    answer = http.request(method, "/api/events", headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert "'evil.example' is not this inspector" in answer.json()["error"]
    assert "access-control-allow-origin" not in answer.headers
    assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/faults"), ("DELETE", "/api/events"), ("POST", "/track")]
)
def test_a_page_of_another_origin_changes_nothing(
    http: httpx.Client, origin: str, method: str, path: str
) -> None:
    http.post("/track", content=encoded(body()), headers=HEADERS)
    content = encoded({"status": 503})
    answer = http.request(method, path, content=content, headers={"Origin": origin})
    assert answer.status_code == 403
    listed = http.get("/api/events").json()
    assert (listed["total"], listed["requests"], listed["faults"]) == (1, 1, {})


def test_the_own_page_may_change_things(http: httpx.Client) -> None:
    origin = str(http.base_url).rstrip("/")
    answer = http.put("/api/faults", json={"status": 503}, headers={"Origin": origin})
    assert answer.status_code == 200


def test_every_answer_has_the_security_headers(http: httpx.Client) -> None:
    for path in ("/", "/static/main.js", "/api/events", "/nothing"):
        headers = http.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_what_is_not_http_passes_the_guard() -> None:
    sent: list[str] = []
    waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    asyncio.run(create_app()({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
