"""The compiled engine, `transport="fast"`: what is its own; tests of others run over it as well."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pycurl
import pytest

from datalyr_core import Config, ConfigurationError, Datalyr, options
from datalyr_core.delivery import fast
from datalyr_core.delivery.base import Reply
from datalyr_core.delivery.choice import transport_of
from datalyr_core.delivery.fast import FastEngine
from datalyr_core.delivery.http import HttpTransport
from datalyr_core.errors import TransportError
from tests.conftest import MakeClient
from tests.core.test_network import dead
from tests.support.ingest import HUGE, OK, RESET, SILENCE, Answer, IngestServer, slow
from tests.support.proxy import TunnelProxy
from tests.support.scripts import Scripts
from tests.support.waiting import eventually

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def _name() -> str:
    """Return a name of this machine that libcurl has to look up, which it does in a thread."""
    with suppress(OSError):
        name = socket.gethostname()
        if {each[4][0] for each in socket.getaddrinfo(name, None)} == {"127.0.0.1"}:
            return name
    return "localhost"


NAME = _name()
BODY = '{"event":"E","properties":{"text":"Zoë \\u0000"}}'.encode()


@contextmanager
def transport(host: str, name: str = "fast", **given: Any) -> Iterator[HttpTransport]:
    made, close = transport_of(Config(api_key="dk_test", host=host, transport=name, **given))
    assert isinstance(made, HttpTransport)
    try:
        yield made
    finally:
        close()


def engine_of(made: HttpTransport) -> FastEngine:
    assert isinstance(made._engine, FastEngine)
    return made._engine


@contextmanager
def trusted_ingest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IngestServer]:
    """An ingest over TLS, with an authority that children of this process trust."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", NAME).configure_cert(context)
    monkeypatch.setenv("DATALYR_LIVE", "1")
    with IngestServer(context) as ingest:
        yield ingest


# On the wire


def test_the_request_is_the_same_as_httpxs(ingest: IngestServer) -> None:
    host = ingest.url.replace("//", "//user:pass%2F@") + "/a%20b;c?d=%C3%A9&e=f+g"
    large = b'{"event":"%b"}' % (b"x" * 3_000_000)  # for which libcurl would ask for leave
    for name in ("httpx", "fast"):
        with transport(host, name) as made:
            for body in (BODY, large):
                reply = made.send(body)
                assert reply == Reply(200, {"Content-Length": "16"}, '{"success":true}')
    plain, plain_large, fast, fast_large = ingest.requests
    assert plain.headers == fast.headers
    assert (plain.method, plain.path, plain.raw) == (fast.method, fast.path, fast.raw)
    assert fast.raw == BODY
    assert plain_large.headers == fast_large.headers
    assert fast_large.raw == large
    assert fast.headers["accept-encoding"] == "identity"
    assert "authorization" not in fast.headers


def test_an_answer_is_read_as_it_is_and_leaves_nothing_behind(ingest: IngestServer) -> None:
    headers = {"Content-Encoding": "gzip", "Set-Cookie": "a=b; Path=/"}
    ingest.script.append(Answer(503, headers, body=b"no gzip"))
    with transport(ingest.url) as made:
        reply = made.send(BODY)
        made.send(BODY)
    assert (reply.status, reply.text) == (503, "no gzip")
    assert reply.headers["Content-Encoding"] == "gzip"
    assert "cookie" not in ingest.requests[1].headers
    assert ingest.connections == 1


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", ""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "abc",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", "to the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "half"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nnonsense", "ab"),
    ],
)
def test_bodies_of_every_kind(head: bytes, text: str, ingest: IngestServer) -> None:
    ingest.answer = Answer(raw=head)
    with transport(ingest.url) as made:
        reply = made.send(BODY)
    assert (reply.status // 100, reply.text) == (2, text)


def test_headers_are_read_as_httpxs_are(ingest: IngestServer) -> None:
    lines = ["X-Name: Zoë", "retry-after:3 ", "X-Twice: a", "X-Twice: b", "Content-Length: 0"]
    hint = "HTTP/1.1 103 Early Hints\r\nX-Hint: a\r\n\r\n"
    head = hint + "\r\n".join(["HTTP/1.1 429 Slow down", *lines, "", ""])
    ingest.answer = Answer(raw=head.encode())
    replies = []
    for name in ("httpx", "fast"):
        with transport(ingest.url, name) as made:
            replies.append(made.send(BODY))
    plain, fast = replies
    assert plain == fast
    assert (fast.status, fast.headers["retry-after"]) == (429, "3")
    assert dict(fast.headers) == dict(plain.headers)
    assert len(fast.headers) == 4
    assert repr(fast) == repr(plain)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        b"HTTP/1.1 103 Early Hints\r\nX-Hint: a\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nX-Hint: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le",
        b"\x16\x03\x01 this is not HTTP\r\n\r\n",
    ],
)
def test_what_breaks_off_before_its_body_is_no_answer(head: bytes, ingest: IngestServer) -> None:
    ingest.answer = Answer(raw=head)
    with transport(ingest.url) as made, pytest.raises(TransportError):
        made.send(BODY)
    assert len(ingest.requests) == 1


def test_trailers_belong_to_no_answer(ingest: IngestServer) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Last: a\r\n\r\n"
    ingest.answer = Answer(raw=head)
    with transport(ingest.url) as made:
        assert made.send(BODY) == Reply(200, {"Transfer-Encoding": "chunked"}, "ab")


def test_no_more_than_the_beginning_of_a_body_is_read(ingest: IngestServer) -> None:
    ingest.answer = HUGE
    with transport(ingest.url) as made:
        assert len(made.send(BODY).text) == 65_536


@pytest.mark.parametrize("drips", [False, True])
@pytest.mark.parametrize(("timeout", "most"), [(30, 2.5), (1, 1.5)])
def test_a_body_that_does_not_come_is_waited_for_a_second(
    drips: bool, timeout: float, most: float
) -> None:
    """And the status counts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n")
                connection.settimeout(0.2)
                while True:
                    with suppress(TimeoutError):
                        if not connection.recv(65_536):
                            break
                    if drips:
                        connection.sendall(b".")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with transport(url, timeout=timeout) as made:
            begun = time.monotonic()
            assert made.send(BODY).status == 202
            assert 0.9 < time.monotonic() - begun < most
            thread.join(10)  # the connection is closed, as nobody can use it again
            assert not thread.is_alive()


def test_http_2_where_the_ingest_offers_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trustme = pytest.importorskip("trustme")
    hypercorn = pytest.importorskip("hypercorn.config")
    from hypercorn.asyncio import serve

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    seen: list[tuple[str, bytes]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        seen.append((scope["http_version"], message["body"]))
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b"taken"})

    settings = hypercorn.Config()
    settings.certfile = settings.keyfile = str(tmp_path / "server.pem")
    settings.accesslog = settings.errorlog = None
    stop = asyncio.Event()

    async def run() -> None:
        stopping = asyncio.ensure_future(stop.wait())
        await serve(app, settings, shutdown_trigger=lambda: stopping)  # type: ignore[arg-type]  # it awaits it

    listener = socket.create_server(("127.0.0.1", 0))  # a client may come before it is served
    port = listener.getsockname()[1]
    settings.bind = [f"fd://{listener.detach()}"]
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=runner.run, args=(run(),))
        thread.start()
        try:
            with transport(f"https://127.0.0.1:{port}/track") as made:
                assert (made.send(BODY).text, made.send(BODY).status) == ("taken", 202)
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(20)
    assert seen == [("2", BODY)] * 2


def test_a_redirect_is_not_followed(ingest: IngestServer) -> None:
    ingest.answer = Answer(307, {"Location": "/elsewhere"})
    with transport(ingest.url) as made:
        assert made.send(BODY).status == 307
    assert len(ingest.requests) == 1


def test_loopback_is_never_proxied(ingest: IngestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with transport(ingest.url) as made:
        assert made.send(BODY).status == 200


def test_a_proxy_gets_the_same_request_as_from_httpx(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{ingest.port}")
    monkeypatch.setenv("DATALYR_LIVE", "1")
    for name in ("httpx", "fast"):
        with transport("http://ingest.test/a/../track?a=b", name) as made:
            assert made.send(BODY).status == 200
    plain, fast = ingest.requests
    assert fast.path == plain.path == "http://ingest.test/track?a=b"
    assert fast.headers == plain.headers
    assert "proxy-authorization" in fast.headers


def test_whom_no_proxy_names_is_reached_without_one(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`urllib` says who that is, and libcurl does not read the environment by itself."""
    monkeypatch.setenv("DATALYR_LIVE", "1")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{ingest.port}")
    monkeypatch.setenv("no_proxy", "ingest.test")
    with (
        transport("http://a.ingest.test/track") as made,
        pytest.raises(TransportError, match="Could not resolve host"),
    ):
        made.send(BODY)
    with transport("http://other.test/track") as made:
        monkeypatch.setenv("no_proxy", "other.test")  # it was read when the client was made
        assert made.send(BODY).status == 200


def test_the_answer_of_a_proxy_that_makes_no_tunnel_is_none_of_the_ingests(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                heads.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")
                connection.recv(1)

        thread = threading.Thread(target=refuse)
        thread.start()
        port = listener.getsockname()[1]
        monkeypatch.setenv("https_proxy", f"http://user:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("DATALYR_LIVE", "1")
        with (
            transport("https://ingest.test/track") as made,
            pytest.raises(TransportError, match="407") as raised,
        ):
            made.send(BODY)
        thread.join(10)
    assert heads[0].startswith(b"CONNECT ingest.test:443 ")
    assert b"dk_test" not in heads[0]
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_looks_names_up(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does for httpx."""
    pytest.importorskip("socksio")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"\5\0")
                asked.append(connection.recv(65_536))

        thread = threading.Thread(target=refuse)
        thread.start()
        monkeypatch.setenv("http_proxy", f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("DATALYR_LIVE", "1")
        with transport("http://ingest.test/track") as made, pytest.raises(TransportError):
            made.send(BODY)
        thread.join(10)
    assert b"ingest.test" in asked[0]


def test_an_ingest_behind_a_tunnel_has_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the proxy says is not the beginning of its answer."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("DATALYR_LIVE", "1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("ingest.test").configure_cert(context)

    def be_late(*_told: Any) -> None:
        threading.Event().wait(2.5)

    context.sni_callback = be_late
    with IngestServer(context) as ingest, TunnelProxy(ingest.port) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with transport("https://ingest.test/track") as made:
            assert made.send(BODY).status == 200


# Time


def test_the_deadline_of_a_thread_is_its_own(ingest: IngestServer) -> None:
    ingest.answer = slow(1)
    with transport(ingest.url) as made:
        replies: list[int] = []
        other = threading.Thread(target=lambda: replies.append(made.send(BODY).status))
        other.start()
        made.deadline = time.monotonic() + 0.2
        begun = time.monotonic()
        with pytest.raises(TransportError, match="timed out after"):
            made.send(BODY)
        assert time.monotonic() - begun < 0.9
        other.join()
        assert replies == [200]
        made.deadline = None
        assert made.send(BODY).status == 200


def test_where_ipv6_is_dead_events_go_over_ipv4(ingest: IngestServer) -> None:
    """For libcurl localhost is both, IPv6 first."""
    with (
        dead("::1", ingest.port),
        transport(f"http://localhost:{ingest.port}/track", timeout=4) as made,
    ):
        assert made.send(BODY).status == 200


def test_a_name_without_an_address_is_a_failure_that_says_so() -> None:
    with (
        transport("http://nowhere.localhost.invalid/track", timeout=20) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DATALYR_LIVE", "1")
        with pytest.raises(TransportError, match="Could not resolve host"):
            made.send(BODY)


def test_other_threads_run_while_a_request_is_under_way(ingest: IngestServer) -> None:
    ingest.answer = slow(0.3)
    with transport(ingest.url) as made:
        thread = threading.Thread(target=made.send, args=(BODY,))
        thread.start()
        turns = 0
        while thread.is_alive():
            turns += 1
            threading.Event().wait(0.001)
    assert turns > 20


def test_ten_threads_wait_for_ten_answers_at_a_time(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.05)
    client = make_client(transport="fast")
    begun = time.monotonic()
    for _ in range(200):
        client.track("u", "E")
    assert client.flush(timeout=30)
    assert time.monotonic() - begun < 4  # one after the other they take ten seconds
    assert ingest.most_in_flight == 10


# Connections that are kept


def test_a_connection_that_was_closed_while_idle_delays_nothing(ingest: IngestServer) -> None:
    with transport(ingest.url) as made:
        for number in range(1, 4):
            assert made.send(BODY).status == 200
            assert (len(ingest.requests), ingest.connections) == (number, number)
            ingest.close_idle()


def test_after_a_while_one_looks_before_it_is_used(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "_UNSURE", 0.0)
    with transport(ingest.url) as made:
        engine = engine_of(made)
        end = time.monotonic() + 10
        engine.post(BODY, end)
        engine.post(BODY, end)
        assert ingest.connections == 1
        ingest.close_idle()
        [handle] = engine._handles
        assert eventually(lambda: not handle._lives(time.monotonic()))
        assert engine.post(BODY, end).status == 200  # without Stale
        assert ingest.connections == 2
        engine.post(BODY, end)
        assert ingest.connections == 2
        handle.end()
        handle._sockets[0].close()  # even so
        assert engine.post(BODY, end).status == 200


def test_a_connection_is_kept_for_half_a_minute(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transport(ingest.url) as made:
        made.send(BODY)
        [handle] = engine_of(made)._handles
        handle.used -= 29
        made.send(BODY)
        assert ingest.connections == 1
        handle.used -= 31
        made.send(BODY)
        assert (ingest.connections, len(ingest.requests)) == (2, 3)
        assert eventually(lambda: len(ingest._open) == 1)


def test_connections_that_nobody_needs_any_more_are_closed(ingest: IngestServer) -> None:
    with transport(ingest.url, concurrency=2) as made:
        ingest.answer = slow(0.3)
        threads = [threading.Thread(target=made.send, args=(BODY,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ingest.connections == 3
        engine = engine_of(made)
        assert len(engine._idle) == len(engine._handles) == 2
        assert eventually(lambda: len(ingest._open) == 2)
        engine._idle[0].used -= 31
        made.send(BODY)
        assert len(engine._idle) == len(engine._handles) == 1
        assert eventually(lambda: len(ingest._open) == 1)
        assert ingest.connections == 3


def test_what_breaks_off_at_once_is_sent_again_once(ingest: IngestServer) -> None:
    with transport(ingest.url) as made:
        made.send(BODY)
        ingest.script.extend([RESET, OK])
        assert made.send(BODY).status == 200
        assert [each.connection for each in ingest.requests] == [1, 1, 2]
        ingest.script.extend([RESET, RESET])
        with pytest.raises(TransportError):
            made.send(BODY)
        assert [each.connection for each in ingest.requests] == [1, 1, 2, 2, 3]
        ingest.script.append(RESET)
        with pytest.raises(TransportError):  # on a connection of its own
            made.send(BODY)
        assert len(ingest.requests) == 6


def test_it_is_sent_again_on_a_new_connection_also_where_others_are_kept(
    ingest: IngestServer,
) -> None:
    with transport(ingest.url) as made:
        ingest.answer = slow(0.2)
        threads = [threading.Thread(target=made.send, args=(BODY,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ingest.answer = OK
        for number in range(4, 7):
            ingest.script.append(RESET)
            assert made.send(BODY).status == 200
            assert ingest.requests[-1].connection == number


def test_what_is_sent_again_goes_out_on_a_new_connection(ingest: IngestServer) -> None:
    """Another thread may have taken the handle of the first try."""
    with transport(ingest.url) as made:
        engine = engine_of(made)
        for number, again in enumerate([False, True, True], start=1):
            engine.post(BODY, time.monotonic() + 10, again=again)
            assert ingest.connections == number
        engine.post(BODY, time.monotonic() + 10)
        assert ingest.connections == 3
        assert eventually(lambda: len(ingest._open) == 1)


def test_what_breaks_off_late_has_been_under_way_and_is_a_failure(ingest: IngestServer) -> None:
    with transport(ingest.url) as made:
        made.send(BODY)
        ingest.script.append(Answer(cut=0, delay=0.5))
        with pytest.raises(TransportError):
            made.send(BODY)
        assert len(ingest.requests) == 2


# The end


def test_closing_ends_what_is_under_way_and_nothing_is_sent_afterwards(
    ingest: IngestServer,
) -> None:
    ingest.answer = SILENCE
    errors: list[TransportError] = []
    with transport(ingest.url, timeout=60) as made:

        def send() -> None:
            with pytest.raises(TransportError) as raised:
                made.send(BODY)
            errors.append(raised.value)

        thread = threading.Thread(target=send)
        thread.start()
        assert eventually(lambda: ingest.in_flight == 1)
        made.close()
        thread.join(0.9)
        assert [str(each) for each in errors] == ["the client is closed"]
        for _ in range(50):
            with pytest.raises(TransportError, match="the client is closed"):
                made.send(BODY)
    assert len(ingest.requests) == 1


def test_a_client_that_was_never_used_sends_nothing_once_it_is_closed(
    ingest: IngestServer,
) -> None:
    with transport(ingest.url) as made:
        made.close()
        with pytest.raises(TransportError):
            made.send(BODY)
    assert ingest.connections == 0


def test_a_request_that_is_connecting_when_the_client_is_closed_is_not_sent(
    ingest: IngestServer,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/track"
    with dead("127.0.0.1", port), transport(url, timeout=60) as made:
        errors: list[str] = []

        def send() -> None:
            with pytest.raises(TransportError) as raised:
                made.send(BODY)
            errors.append(str(raised.value))

        thread = threading.Thread(target=send)
        thread.start()
        engine = engine_of(made)
        assert eventually(lambda: any(each._sockets for each in engine._handles))
        made.close()
        thread.join(0.9)
        assert errors == ["the client is closed"]
    assert not ingest.requests


def test_closing_in_the_middle_of_much_traffic(ingest: IngestServer) -> None:
    for _ in range(5):
        with transport(ingest.url) as made:
            sent = len(ingest.requests)
            ended = threading.Barrier(9)

            def work(made: HttpTransport = made, ended: threading.Barrier = ended) -> None:
                with suppress(TransportError):
                    while True:
                        made.send(BODY)
                ended.wait(10)

            threads = [threading.Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            assert eventually(lambda sent=sent: len(ingest.requests) > sent + 200)
            made.close()
            ended.wait(1)
            for thread in threads:
                thread.join()
            assert not engine_of(made)._handles
            assert eventually(lambda: ingest.in_flight == 0)


def test_clients_that_come_and_go_leave_nothing(ingest: IngestServer) -> None:
    tasks, descriptors = Path("/proc/self/task"), Path("/proc/self/fd")
    if not tasks.exists():
        pytest.skip("only Linux tells")

    def held() -> tuple[int, int]:
        return len(list(tasks.iterdir())), len(list(descriptors.iterdir()))

    def use(times: int) -> None:
        for _ in range(times):
            with transport(ingest.url) as made:
                made.send(BODY)

    use(2)
    ingest.close_idle()
    assert eventually(lambda: ingest.in_flight == 0)
    before = held()
    use(50)
    ingest.close_idle()
    assert eventually(lambda: all(a <= b + 3 for a, b in zip(held(), before, strict=True))), held()


# Processes

TRACK = """
import os, signal, sys
from datalyr_core import Datalyr
client = Datalyr.from_env()
"""


@forks
@pytest.mark.parametrize("fork", ["os.fork()", "__import__('ctypes').PyDLL(None).fork()"])
def test_a_child_of_a_process_that_has_sent(
    fork: str, scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK
        + f"""
client.track("u", "parent")
assert client.flush()
pid = {fork}
if not pid:
    signal.alarm(20)
    for number in range(3):
        client.track("u", "child")
    assert client.flush()
    sys.exit()
assert os.waitpid(pid, 0)[1] == 0
client.track("u", "parent")
assert client.flush()
""",
        transport="fast",
    )
    assert (ended.code, ended.err) == (0, "")
    assert sorted(ingest.names) == ["child"] * 3 + ["parent"] * 2
    assert ingest.connections == 2  # the parent's is still good


@forks
@pytest.mark.parametrize("fork", ["os.fork()", "__import__('ctypes').PyDLL(None).fork()"])
@pytest.mark.parametrize("child", ["", "client.track('u', 'child'); assert client.flush()"])
@pytest.mark.parametrize("end", ["sys.exit()", "del client; __import__('gc').collect()"])
def test_a_child_that_ends_leaves_the_connections_of_its_parent_alone(
    fork: str,
    child: str,
    end: str,
    scripts: Scripts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over TLS: the goodbye of a child would be one in the middle of what the parent says."""
    with trusted_ingest(tmp_path, monkeypatch) as ingest:
        ended = scripts.run(
            TRACK
            + f"""
client.track("u", "parent")
assert client.flush()
for number in range(3):
    pid = {fork}
    if not pid:
        signal.alarm(20)
        {child or "pass"}
        {end}
        sys.exit()
    assert os.waitpid(pid, 0)[1] == 0
    client.track("u", "parent")
    assert client.flush()
""",
            transport="fast",
            host=ingest.url.replace("127.0.0.1", NAME),
        )
        assert (ended.code, ended.err) == (0, "")
        assert ingest.names.count("parent") == 4
        assert ingest.names.count("child") == (3 if child else 0)
        assert ingest.connections == (4 if child else 1)


@forks
@pytest.mark.parametrize("end", ["sys.exit()", "gc.collect(); os._exit(0)"])
def test_a_child_frees_no_handle_of_its_parent(
    end: str, scripts: Scripts, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libcurl would wait for its threads, which the child has not."""
    monkeypatch.setenv("DATALYR_LIVE", "1")
    ended = scripts.run(
        f"""
import gc, os, signal, sys
from datalyr_core import Config
from datalyr_core.delivery.choice import transport_of
transport, close = transport_of(Config.from_env())
transport.send(b'{{"event":"E"}}')
pid = os.fork()
if not pid:
    signal.alarm(8)
    del transport, close
    {end}
assert os.waitpid(pid, 0)[1] == 0
transport.send(b'{{"event":"E"}}')
close()
""",
        transport="fast",
        host=ingest.url.replace("127.0.0.1", NAME),
    )
    assert ended.code == 0, ended.err
    assert ingest.connections == 1


@forks
def test_a_child_that_was_forked_before_the_first_event_is_fast(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK
        + """
for number in range(2):
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        client.track("u", "child")
        assert client.flush()
        sys.exit()
    assert os.waitpid(pid, 0)[1] == 0
client.track("u", "parent")
assert client.flush()
""",
        transport="fast",
    )
    assert (ended.code, ended.err) == (0, "")
    assert sorted(ingest.names) == ["child", "child", "parent"]


@forks
def test_children_of_multiprocessing(scripts: Scripts, ingest: IngestServer) -> None:
    ended = scripts.run(
        TRACK
        + """
import multiprocessing
def work():
    signal.alarm(20)
    client.track("u", "child")
client.track("u", "parent")
client.flush()
children = [multiprocessing.get_context("fork").Process(target=work) for _ in range(3)]
for child in children:
    child.start()
for child in children:
    child.join()
assert [child.exitcode for child in children] == [0] * 3
""",
        transport="fast",
    )
    assert (ended.code, ended.err) == (0, "")
    assert sorted(ingest.names) == ["child"] * 3 + ["parent"]


@forks
@pytest.mark.parametrize("kept", [True, False])
def test_forks_in_the_middle_of_requests_hang_nobody(
    kept: bool, scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS and by name: in the middle of OpenSSL, and of libcurl's look-ups."""
    with trusted_ingest(tmp_path, monkeypatch) as ingest:
        ingest.answer = OK if kept else Answer(headers={"Connection": "close"})
        ended = scripts.run(
            TRACK
            + """
import threading
stop = threading.Event()
def work():
    while not stop.is_set():
        client.track("u", "parent")
        client.flush()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
codes = []
for number in range(15):
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        client.track("u", "child")
        assert client.flush()
        if number % 2:
            os._exit(0)
        sys.exit()
    codes.append(os.waitpid(pid, 0)[1])
stop.set()
for thread in threads:
    thread.join()
assert codes == [0] * 15, codes
""",
            transport="fast",
            host=ingest.url.replace("127.0.0.1", NAME),
        )
        assert ended.code == 0, ended.err
        assert ingest.names.count("child") == 15


@forks
def test_a_child_that_is_forked_while_a_connection_is_made_over_tls_goes_on_with_httpx(
    scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that made it may have held locks of OpenSSL's."""
    with trusted_ingest(tmp_path, monkeypatch) as ingest:
        ingest.script.append(slow(2))
        ended = scripts.run(
            TRACK
            + """
import threading
from datalyr_core.delivery import fast
client.track("u", "parent")
flush = threading.Thread(target=client.flush)
flush.start()
while not fast._securing:
    pass
pid = os.fork()
if not pid:
    signal.alarm(20)
    client.track("u", "child")
    os._exit(0 if client.flush() else 1)
assert os.waitpid(pid, 0)[1] == 0
flush.join()
client.track("u", "parent")
assert client.flush() and not fast._securing
pid = os.fork()
if not pid:
    signal.alarm(20)
    client.track("u", "child")
    os._exit(0 if client.flush() else 1)
assert os.waitpid(pid, 0)[1] == 0
""",
            transport="fast",
            host=ingest.url,
        )
        assert ended.code == 0, ended.err
        assert sorted(ingest.names) == ["child"] * 2 + ["parent"] * 2
        assert ended.err.splitlines() == [
            "transport='fast' does not work in a process that was forked while a connection was "
            "made over TLS; events go out through httpx"
        ]


@pytest.mark.parametrize("patched", ["before", "after"])
def test_under_gevent_events_go_through_httpx(
    patched: str, scripts: Scripts, ingest: IngestServer
) -> None:
    pytest.importorskip("gevent")
    ingest.answer = slow(0.5)
    patch = "from gevent import monkey; monkey.patch_all()\n"
    ended = scripts.run(
        (patch + TRACK if patched == "before" else TRACK + patch)
        + """
import gevent
client.track("u", "E")
flush = gevent.spawn(client.flush, 25)
turns = 0
while not flush.dead:
    gevent.sleep(0.01)
    turns += 1
assert flush.value and turns > 10, turns
""",
        transport="fast",
    )
    assert ended.code == 0, ended.err
    assert ingest.names == ["E"]
    assert ended.err.count("transport='fast' does not work under gevent") == 1


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import atexit; atexit.register(client.track, 'u', 'late')", 0),
    ],
)
def test_however_a_script_ends_its_events_are_delivered(
    end: str, code: int, scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK + 'client.track("u", "E")\n' + end, transport="fast", flush_interval=60
    )
    assert (ended.code, ended.err) == (code, "")
    assert ingest.names == ["E", "late"][: 2 if "late" in end else 1]


def test_where_no_thread_can_start_the_exiting_one_delivers(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK + 'import threading; threading.stack_size(2**46)\nclient.track("u", "E")',
        transport="fast",
    )
    assert ended.code == 0, ended.err
    assert ingest.names == ["E"]


def test_an_ingest_that_takes_nothing_delays_the_exit_only_so_long(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    ended = scripts.run(TRACK + 'client.track("u", "E")', transport="fast", exit_timeout=1)
    assert ended.code == 0
    assert 0.9 < ended.took < 8
    assert "1 are lost" in ended.err


def test_pycurl_is_imported_with_the_client_and_by_nothing_else() -> None:
    source = """
import sys, datalyr_core
from datalyr_core import Datalyr
Datalyr("dk_test")
assert "pycurl" not in sys.modules
Datalyr("dk_test", transport="fast")
assert "pycurl" in sys.modules
"""
    subprocess.run([sys.executable, "-c", source], check=True, timeout=40)


# Set-up


def test_the_environment_names_it(ingest: IngestServer) -> None:
    environ = {"DATALYR_API_KEY": "dk_test", "DATALYR_TRANSPORT": "fast"}
    assert Config.from_env(environ).transport == "fast"


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, pycurl.__name__)
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as raised:
        Datalyr("dk_test", transport="fast")
    [(name, told)] = raised.value.problems
    assert name == "transport"
    assert told == "is 'fast' and needs a package: pip install 'datalyr[fast]'"


def test_a_ready_client_does_not_go_with_it() -> None:
    with httpx.Client() as http, pytest.raises(ConfigurationError) as raised:
        Datalyr("dk_test", transport="fast", http_client=http)
    [(name, told)] = raised.value.problems
    assert (name, told) == (
        "http_client",
        "posts through httpx; leave out transport='fast', or http_client",
    )


def test_nor_does_a_broker() -> None:
    with pytest.raises(ConfigurationError, match="leave out transport and http_client"):
        Datalyr("dk_test", transport="fast", broker="memory://")


def test_no_error_shows_credentials_or_a_query(caplog: pytest.LogCaptureFixture) -> None:
    host = "http://user:hunter2@127.0.0.1:1/track?token=hunter2"
    told: list[str] = []

    def on_error(event: Any, error: Exception) -> None:
        told.extend(traceback.format_exception(error))

    with Datalyr(
        "dk_hunter2", host=host, transport="fast", retry_limit=0, on_error=on_error
    ) as client:
        client.track("u", "E")
        client.flush()
        client.close(timeout=0)
    assert "Could not connect" in "".join(told)
    assert "hunter2" not in "".join(told) + caplog.text


def test_a_proxy_that_cannot_be_read_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://user:hunter2@proxy.example:port")
    with pytest.raises(ConfigurationError) as raised:
        Datalyr("dk_test", transport="fast")
    assert "check the environment's HTTPS_PROXY" in str(raised.value)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


def test_where_the_environment_names_no_authorities_httpxs_are_trusted_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a container that has none of its own."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with IngestServer(context) as ingest, transport(ingest.url) as made:
        ingest.answer = OK
        assert made.send(BODY).status == 200


def test_a_folder_of_authorities_is_trusted_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with IngestServer(context) as ingest:
        with transport(ingest.url) as made, pytest.raises(TransportError, match="certificate"):
            made.send(BODY)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        rehashed = subprocess.run(["openssl", "rehash", str(tmp_path)], check=False)
        if rehashed.returncode:
            pytest.skip("openssl is not here")
        with transport(ingest.url) as made:
            assert made.send(BODY).status == 200


def test_the_engine_is_what_the_option_says() -> None:
    with transport("http://127.0.0.1:1/") as made:
        assert isinstance(made._engine, FastEngine)
