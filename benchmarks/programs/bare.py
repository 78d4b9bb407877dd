"""The least that sends an event: a socket, and the standard library's client.

Their body is ready, and one request waits for the answer to the one before: a floor.
"""

from __future__ import annotations

import http.client
import json
import socket

from benchmarks.programs.contestants import PROPERTIES, Contestant

_ID = "anon_3d5cf66d-203f-4009-8bb0-f3714da152a4"
BODY = json.dumps(
    {
        "event": "Purchase Completed",
        "userId": "user_123",
        "anonymousId": _ID,
        "eventId": "0b6f2c1e-9d3f-4f0a-8d34-1f5a6f1c2b3d",
        "properties": {**PROPERTIES, "anonymous_id": _ID},
        "context": {"library": "bare", "version": "0", "source": "api", "schema_version": 1},
        "timestamp": "2026-07-01T12:34:56.000Z",
    },
    separators=(",", ":"),
).encode()
HEADERS = {"X-API-Key": "dk_bench", "Content-Type": "application/json", "User-Agent": "bare"}


def make(name: str, port: int) -> Contestant:
    return _http_client(port) if name == "http.client" else _socket(port)


def request(port: int) -> bytes:
    """Write the whole request."""
    lines = [f"POST /track HTTP/1.1\r\nHost: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in HEADERS.items()]
    lines.append(f"Content-Length: {len(BODY)}\r\n\r\n")
    return "\r\n".join(lines).encode() + BODY


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _socket(port: int) -> Contestant:
    connection, whole = connect(port), request(port)

    def track() -> None:
        connection.sendall(whole)
        if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("the sink does not take it")

    return Contestant(track, close=connection.close)


def _http_client(port: int) -> Contestant:
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def track() -> None:
        connection.request("POST", "/track", BODY, HEADERS)
        connection.getresponse().read()

    return Contestant(track, close=connection.close)
