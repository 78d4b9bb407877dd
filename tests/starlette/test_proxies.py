"""Whom a visitor comes from: what the server makes of a proxy's headers, and nothing else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware
from tests.behaviour.servers import UVICORN, serving
from tests.starlette.conftest import MakeRecording
from tests.starlette.raw import http_scope, tracking_app
from tests.support.ingest import IngestServer

FORWARDED = [
    (b"host", b"shop.example"),
    (b"x-forwarded-for", b"198.51.100.9"),
    (b"x-forwarded-proto", b"https"),
]
PROXY = ("10.0.0.1", 4711)
AS_FORWARDED = ("198.51.100.9", "https://shop.example/", True)


@pytest.fixture
def client(make_recording: MakeRecording) -> RecordingClient:
    return make_recording(request_context=["ip", "url"], set_visitor_cookie=True)


def facts(client: RecordingClient, app: Any, peer: Any) -> tuple[Any, Any, bool]:
    """Return the address and the URL that an event bears, and whether the cookie is secure."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body belongs to the application")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(http_scope(headers=FORWARDED, client=peer), receive, send))
    seen = client.events[-1].properties
    cookie = dict(sent[0]["headers"])[b"set-cookie"]
    return seen.get("ip"), seen.get("url"), b"Secure" in cookie


@pytest.mark.parametrize(
    ("peer", "ip"),
    [
        (PROXY, "10.0.0.1"),
        (("2001:db8::1", 1), "2001:db8::1"),
        (None, None),
        (("", 0), None),
        ((None, 0), None),
    ],
)
def test_raw_headers_are_not_believed(client: RecordingClient, peer: Any, ip: str | None) -> None:
    """No peer: a Unix socket, or a test tool."""
    app = DatalyrMiddleware(tracking_app, client)
    assert facts(client, app, peer) == (ip, "http://shop.example/", False)


@pytest.mark.parametrize("peer", [PROXY, None])
def test_proxy_that_the_server_trusts(client: RecordingClient, peer: Any) -> None:
    app = ProxyHeadersMiddleware(DatalyrMiddleware(tracking_app, client), trusted_hosts="*")
    assert facts(client, app, peer) == AS_FORWARDED


def test_proxy_that_the_server_does_not_trust(client: RecordingClient) -> None:
    app = ProxyHeadersMiddleware(DatalyrMiddleware(tracking_app, client), trusted_hosts="10.0.0.2")
    assert facts(client, app, PROXY) == ("10.0.0.1", "http://shop.example/", False)


def test_proxy_handling_inside_ours(client: RecordingClient) -> None:
    """It changes the same scope, so what it found counts all the same."""
    app = DatalyrMiddleware(ProxyHeadersMiddleware(tracking_app, trusted_hosts="*"), client)
    assert facts(client, app, PROXY) == AS_FORWARDED


COMMAND = (*UVICORN, "--factory", "tests.starlette.proxied:make_app")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("flag", "ip", "scheme"),
    [("--proxy-headers", "198.51.100.9", "https"), ("--no-proxy-headers", "127.0.0.1", "http")],
)
def test_uvicorn_with_and_without_its_proxy_handling(
    ingest: IngestServer, flag: str, ip: str, scheme: str
) -> None:
    headers = {name.decode(): value.decode() for name, value in FORWARDED}
    with serving((*COMMAND, flag), ingest.url) as server:
        with suppress(TimeoutError):  # a machine under load may take long to start it
            server.get("/absent")
        assert server.get("/", headers)[0] == 200
        server.terminate()
    (event,) = ingest.accepted
    assert event["properties"]["ip"] == ip
    assert event["properties"]["url"] == f"{scheme}://shop.example/"
