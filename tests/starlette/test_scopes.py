"""What the middleware makes of any scope that a server or a client can come up with."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.authentication import BaseUser, SimpleUser

from datalyr_core import current_tracker
from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware
from tests.starlette.conftest import MakeRecording
from tests.starlette.raw import http_scope, served, tracking_app


def url_of(client: RecordingClient, scope: dict[str, Any]) -> Any:
    served(client, scope)
    page, seen = client.events[-2:]
    assert (page.event, seen.event) == ("$pageview", "Seen")
    return page.properties.get("url")


def test_scope_with_next_to_nothing(client: RecordingClient) -> None:
    scope = http_scope(headers=[])
    del scope["query_string"]
    assert url_of(client, scope) is None
    assert scope["state"]["datalyr"] is scope["datalyr"]


@pytest.mark.parametrize(
    ("server", "url"),
    [
        (None, None),
        (("10.0.0.1", 8000), "http://10.0.0.1:8000/"),
        (("/run/shop.sock", None), None),
    ],
)
def test_server_stands_in_for_a_missing_host(
    client: RecordingClient, server: Any, url: str | None
) -> None:
    assert url_of(client, http_scope(headers=[], server=server)) == url


@pytest.mark.parametrize(
    "host",
    ["shop.example", "SHOP.example:8443", "127.0.0.1:80", "[::1]", "[2001:db8::1]:8000", "a_b"],
)
def test_hosts(client: RecordingClient, host: str) -> None:
    scope = http_scope(headers=[(b"host", host.encode())], scheme="https", path="/é %/")
    assert url_of(client, scope) == f"https://{host}/%C3%A9%20%25/"


@pytest.mark.parametrize(
    "host",
    ["a/b", "a b", "user@a", "a:b", "[::1", "[::1]x", "a\\b", "\x00", "a\n", "é", "a?b", "a#b", ""],
)
def test_hostile_hosts(client: RecordingClient, host: str) -> None:
    scope = http_scope(headers=[(b"host", host.encode())])
    assert url_of(client, scope) is None


def test_two_hosts_are_none(client: RecordingClient) -> None:
    assert url_of(client, http_scope(headers=[(b"host", b"a"), (b"host", b"b")])) is None


def test_path_that_is_no_text(client: RecordingClient) -> None:
    assert url_of(client, http_scope(path="/\udcff")) == "http://shop.example/%3F"


def test_cookies_in_several_lines(client: RecordingClient) -> None:
    """As HTTP/2 clients send them (RFC 9113, 8.2.3)."""
    lines = [(b"cookie", b"a=b"), (b"cookie", b"__dl_visitor_id=v"), (b"cookie", b"c=d")]
    served(client, http_scope(headers=lines))
    assert {event.anonymous_id for event in client.events} == {"v"}


def test_opt_out_in_a_line_of_its_own(client: RecordingClient) -> None:
    lines = [(b"cookie", b"__dl_visitor_id=v"), (b"cookie", b"__dl_opt_out=true")]
    served(client, http_scope(headers=lines))
    assert client.events == []


def test_header_that_stands_in_for_the_cookie(make_recording: MakeRecording) -> None:
    client = make_recording(anonymous_id_header="X-Visitor", request_context=["user_agent", "ip"])
    scope = http_scope(headers=[(b"x-visitor", b"app_1"), (b"user-agent", b"App/1")])
    served(client, {**scope, "client": None})
    served(client, {**scope, "client": ("203.0.113.7", 1)})
    first, _, second, _ = client.events
    assert first.anonymous_id == "app_1"
    assert first.properties["user_agent"] == "App/1"
    assert "ip" not in first.properties
    assert second.properties["ip"] == "203.0.113.7"


@pytest.mark.parametrize("kind", ["http", "websocket", "something-new"])
def test_receive_and_send_are_passed_on_as_they_are(client: RecordingClient, kind: str) -> None:
    """Nothing is read of the body, and nothing is wrapped unless there is something to add."""
    passed: list[Any] = []

    async def app(*args: Any) -> None:
        passed.extend(args)

    async def receive() -> Any:
        raise AssertionError("the body belongs to the application")

    async def send(message: Any) -> None: ...

    scope = http_scope(type=kind)
    asyncio.run(DatalyrMiddleware(app, client)(scope, receive, send))
    assert passed[0] is scope
    assert passed[1] is receive
    assert passed[2] is send
    assert ("datalyr" in scope) is (kind in ("http", "websocket"))


def test_send_is_wrapped_for_the_cookie_alone(make_recording: MakeRecording) -> None:
    client = make_recording(set_visitor_cookie=True, exclude=["/healthz"])
    wrapped = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        wrapped[scope["type"], scope["path"]] = send is not original

    async def original(message: Any) -> None: ...

    for kind, path in (("http", "/"), ("websocket", "/"), ("http", "/healthz")):
        scope = http_scope(type=kind, path=path)
        asyncio.run(DatalyrMiddleware(app, client)(scope, original, original))
    assert wrapped == {("http", "/"): True, ("websocket", "/"): False, ("http", "/healthz"): False}


def test_cookie_on_a_raw_response(make_recording: MakeRecording) -> None:
    client = make_recording(set_visitor_cookie=True)
    start, body = served(client, http_scope(scheme="https"))
    headers = dict(start["headers"])
    assert set(headers) == {b"content-type", b"set-cookie", b"cache-control"}
    assert b"Secure" in headers[b"set-cookie"]
    assert body["body"] == b"done"


def test_response_without_headers_or_with_odd_ones(make_recording: MakeRecording) -> None:
    client = make_recording(set_visitor_cookie=True)

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def public(scope: Any, receive: Any, send: Any) -> None:
        scope["datalyr"].track("Seen")
        headers = [(b"Cache-Control", b"private"), (b"Cache-Control", b"public")]
        await send({"type": "http.response.start", "status": 200, "headers": iter(headers)})

    assert served(client, http_scope(), bare)[0]["headers"] == []
    assert len(served(client, http_scope(), public)[0]["headers"]) == 2


def test_websocket_is_no_page(make_recording: MakeRecording) -> None:
    client = make_recording(set_visitor_cookie=True)
    scope = http_scope(type="websocket", scheme="wss", headers=[(b"host", b"shop.example")])
    assert url_of(client, scope) == "wss://shop.example/"


def test_application_of_another_framework(client: RecordingClient) -> None:
    """Not every `scope["app"]` is Starlette's."""
    served(client, http_scope(app=object()))
    app = SimpleNamespace(state=SimpleNamespace())
    served(client, http_scope(app=app))
    assert app.state.datalyr is client


class Nobody(SimpleUser):
    is_authenticated = False


class Model:
    """A user as the models of fastapi-users are: an id and no `is_authenticated`."""

    def __init__(self, key: object) -> None:
        self.id = key


class Identified(SimpleUser):
    identity = "who"


class Declared(SimpleUser):
    """As under a Starlette whose users declare an `identity` that their classes may leave out."""

    @property
    def identity(self) -> str:
        raise NotImplementedError


class Raising(SimpleUser):
    @property
    def identity(self) -> str:
        raise LookupError("the users' database is away")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, None),
        (SimpleUser("ann"), "ann"),
        (Identified("ann"), "who"),
        (Declared("ann"), "ann"),
        (Nobody("ann"), None),
        (Model(0), "0"),
        (SimpleNamespace(is_authenticated=True, pk=7), "7"),
        (SimpleNamespace(is_authenticated=True, identity=None, id=7, username="ann"), "7"),
        (SimpleNamespace(is_authenticated=True), None),
        (BaseUser(), None),  # declares everything and answers nothing
        (Raising("ann"), None),
    ],
)
def test_users(client: RecordingClient, user: object, expected: str | None) -> None:
    served(client, http_scope(user=user))
    assert {event.user_id for event in client.events} == {expected}


def test_context_is_put_back(client: RecordingClient) -> None:
    inside = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inside.append(current_tracker() is scope["datalyr"])
        raise ValueError("as the test wants it")

    async def serve() -> None:
        with pytest.raises(ValueError, match="as the test wants it"):
            await DatalyrMiddleware(app, client)(http_scope(), None, None)  # type: ignore[arg-type]  # never called
        assert current_tracker() is None

    asyncio.run(serve())
    assert inside == [True]


def test_application_stays_in_the_servers_task_and_context(make_recording: MakeRecording) -> None:
    """A middleware around us sees what the application has set in its context."""
    client = make_recording(set_visitor_cookie=True)
    seen: ContextVar[str] = ContextVar("seen", default="nothing")
    tasks = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.set(scope["type"])
        tasks.append(asyncio.current_task())

    async def serve(kind: str) -> None:
        await DatalyrMiddleware(app, client)(http_scope(type=kind), None, None)  # type: ignore[arg-type]  # never called
        assert seen.get() == kind
        assert tasks[-1] is asyncio.current_task()

    for kind in ("http", "websocket"):
        asyncio.run(serve(kind))


def test_middleware_around_the_middleware(make_recording: MakeRecording) -> None:
    """The outermost counts."""
    outer, inner = make_recording(set_visitor_cookie=True), make_recording(set_visitor_cookie=True)
    sent = served(outer, http_scope(), DatalyrMiddleware(tracking_app, inner))
    assert [event.event for event in outer.events] == ["$pageview", "Seen"]
    assert inner.events == []
    assert [name for name, _ in sent[0]["headers"]].count(b"set-cookie") == 1
