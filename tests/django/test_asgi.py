"""Beginning and end under an ASGI server."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application as djangos_own

from datalyr_core import Datalyr
from datalyr_core.testing import RecordingTransport
from datalyr_django import get_client
from datalyr_django.asgi import get_asgi_application
from tests.django.conftest import OURS, MakeSite, Site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def make_site(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> MakeSite:
    """Make a site in a process where no ASGI application was started yet."""
    monkeypatch.setattr("datalyr_django.asgi._answered", False)
    monkeypatch.setattr("datalyr_django.asgi._warned", False)
    return make_site


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site(middleware=(OURS,))


async def get(app: Any, kind: str = "http") -> list[Any]:
    """Send a request to an application, as a server does."""
    scope = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "method": "GET",
        "path": "/async",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"cookie", b"__dl_visitor_id=v1")],
    }
    messages = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def live(app: Any, meanwhile: Callable[[], Awaitable[Any]]) -> list[str]:
    """Start an application and shut it down, as a server does."""
    sent: list[str] = []

    async def receive() -> Any:
        if not sent:
            return {"type": "lifespan.startup"}
        await meanwhile()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    return sent


def test_shutdown_delivers_what_waits_and_closes_the_client(site: Site) -> None:
    app = get_asgi_application()
    client = site.client

    async def meanwhile() -> None:
        start, body, *_ = await get(app)
        assert (start["status"], body["body"]) == (200, b"v1")
        assert not client.closed
        assert site.transport.bodies == []  # it waits for more

    assert asyncio.run(live(app, meanwhile)) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert client.closed
    assert len(site.transport.bodies) == 1


def test_application_that_is_started_again_has_a_new_client(site: Site) -> None:
    app = get_asgi_application()
    clients: list[Datalyr] = []

    async def meanwhile() -> None:
        clients.append(get_client())
        await get(app)

    for times in (1, 2, 3):
        asyncio.run(live(app, meanwhile))
        assert len(site.transport.bodies) == times
    assert len(set(clients)) == 3
    assert all(client.closed for client in clients)


def test_shutdown_waits_no_longer_than_an_exit_may(make_site: MakeSite) -> None:
    class Away:
        def send(self, body: bytes) -> Any:
            raise ConnectionError("the ingest is away")

    site = make_site(middleware=(OURS,), transport=Away(), exit_timeout=0, close_timeout=60)
    app = get_asgi_application()

    async def meanwhile() -> None:
        await get(app)

    client = site.client
    assert len(asyncio.run(asyncio.wait_for(live(app, meanwhile), 20))) == 2
    assert client.stats.dropped == {"close_timeout": 1}


def test_shutdown_blocks_no_event_loop(make_site: MakeSite) -> None:
    loop_turned = threading.Event()

    class NeedsTheLoop(RecordingTransport):
        def send(self, body: bytes) -> Any:
            assert loop_turned.wait(10)
            return super().send(body)

    transport = NeedsTheLoop()
    client = make_site(middleware=(OURS,), transport=transport, exit_timeout=2).client
    app = get_asgi_application()

    async def meanwhile() -> None:
        await get(app)
        asyncio.get_running_loop().call_soon(loop_turned.set)  # once the shutdown lets it

    asyncio.run(live(app, meanwhile))
    assert (client.stats.delivered, client.stats.dropped) == (1, {})


def test_everything_else_is_left_to_django(site: Site) -> None:
    with pytest.raises(ValueError, match="Django can only handle ASGI/HTTP connections"):
        asyncio.run(get(get_asgi_application(), "websocket"))


@pytest.fixture
def server(site: Site) -> Iterator[None]:
    """Take SIGTERM, as a server does; how it will end the process nobody knows."""
    before = signal.signal(signal.SIGTERM, lambda *args: None)
    yield
    signal.signal(signal.SIGTERM, before)


def without_lifespan(app: Any) -> Any:
    """Route HTTP alone, as `ProtocolTypeRouter({"http": app})` of Channels does."""

    async def route(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError(f"No application configured for scope type {scope['type']!r}")
        await app(scope, receive, send)

    return route


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "datalyr.django"]


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("make_app", [djangos_own, get_asgi_application], ids=["djangos", "ours"])
def test_shutdown_that_goes_unnoticed_is_warned_about_once(
    make_app: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    app = without_lifespan(make_app())
    with pytest.raises(ValueError, match="lifespan"):  # whereupon servers go on without it
        asyncio.run(get(app, "lifespan"))
    for _ in range(3):
        asyncio.run(get(app))
    (warning,) = warnings(caplog)
    assert "get_asgi_application from datalyr_django.asgi" in warning
    assert "{'lifespan': django, 'http': django}" in warning


@pytest.mark.usefixtures("server")
def test_no_warning_where_ours_answers(caplog: pytest.LogCaptureFixture) -> None:
    app = get_asgi_application()

    async def meanwhile() -> None:
        await get(app)

    asyncio.run(live(app, meanwhile))
    assert warnings(caplog) == []


@pytest.mark.parametrize("action", [None, signal.SIG_DFL])
def test_no_warning_where_no_server_has_taken_sigterm(
    site: Site, caplog: pytest.LogCaptureFixture, action: Any
) -> None:
    """Neither in the tests of a project nor where the exit is looked after by Datalyr."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, before if action is None else action)
    site.aget("/async")
    signal.signal(signal.SIGTERM, before)
    assert warnings(caplog) == []


def test_no_warning_under_wsgi(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.get("/sync")
    site.get("/async")
    assert warnings(caplog) == []
