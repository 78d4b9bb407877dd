"""The compiled engine, `transport="fast"`: what is its own; tests of others run over it as well."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httptools
import httpx
import pytest

from datalyr_core import Config, ConfigurationError, Datalyr, options
from datalyr_core.delivery import connection, fast, http
from datalyr_core.delivery.base import Reply
from datalyr_core.delivery.choice import transport_of
from datalyr_core.delivery.fast import FastEngine
from datalyr_core.delivery.http import HttpTransport
from datalyr_core.errors import TransportError
from tests.conftest import MakeClient
from tests.support.ingest import HUGE, OK, RESET, SILENCE, Answer, IngestServer, slow
from tests.support.proxy import TunnelProxy
from tests.support.scripts import Scripts
from tests.support.waiting import eventually

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
BODY = '{"event":"E","properties":{"text":"Zoë \\u0000"}}'.encode()
LARGE = b'{"event":"%b"}' % (b"x" * 3_000_000)


@contextmanager
def transport(host: str, name: str = "fast", **given: Any) -> Iterator[HttpTransport]:
    made, close = transport_of(Config(api_key="dk_test", host=host, transport=name, **given))
    assert isinstance(made, HttpTransport)
    try:
        yield made
    finally:
        close()


@contextmanager
def connected(ingest: IngestServer, **given: Any) -> Iterator[HttpTransport]:
    """A transport that has sent something: the first answer on a connection is read by httpcore."""
    with transport(ingest.url, given.pop("transport", "fast"), **given) as made:
        script, ingest.script = ingest.script.copy(), type(ingest.script)([OK])
        made.send(b'{"event":"first"}')
        ingest.script = script
        yield made


@contextmanager
def trusted_ingest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str
) -> Iterator[IngestServer]:
    """An ingest over TLS, with an authority that children of this process trust."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    http.tls_settings.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", *names).configure_cert(context)
    monkeypatch.setenv("DATALYR_LIVE", "1")
    with IngestServer(context) as ingest:
        yield ingest
    http.tls_settings.cache_clear()


@contextmanager
def answering(
    before: int, answer: Callable[[socket.socket], None], *, later: int = 0
) -> Iterator[str]:
    """An ingest that answers as it should before, and on other connections later."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take(connection: socket.socket) -> None:
            assert connection.recv(65_536)
            connection.sendall(OK.encoded())

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                for _ in range(before):
                    take(connection)
                answer(connection)
                for _ in range(later):
                    other, _ = listener.accept()
                    with other:
                        take(other)
                if later:
                    ended.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            ended.set()
            thread.join(10)
        assert not thread.is_alive()


# On the wire


def test_the_request_is_the_same_as_httpxs(ingest: IngestServer) -> None:
    host = ingest.url.replace("//", "//user:pass%2F@") + "/a%20b;c?d=%C3%A9&e=f+g"
    for name in ("httpx", "fast"):
        with transport(host, name) as made:
            for body in (BODY, BODY, LARGE):
                reply = made.send(body)
                assert reply == Reply(200, {"Content-Length": "16"}, '{"success":true}')
    for plain, other in zip(ingest.requests[:3], ingest.requests[3:], strict=True):
        assert list(plain.headers.items()) == list(other.headers.items())
        assert (plain.method, plain.path, plain.raw) == (other.method, other.path, other.raw)
    assert ingest.requests[4].raw == BODY
    assert ingest.requests[5].raw == LARGE
    assert ingest.connections == 2


def test_from_the_second_on_answers_are_read_by_llhttp(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[int] = []
    complete = fast.LlhttpReader.on_headers_complete

    def noted(reader: fast.LlhttpReader) -> None:
        heads.append(1)
        complete(reader)

    monkeypatch.setattr(fast.LlhttpReader, "on_headers_complete", noted)
    with transport(ingest.url) as made:
        for _ in range(3):
            assert made.send(BODY).status == 200
    assert (len(heads), ingest.connections) == (2, 1)


HINT = b"HTTP/1.1 103 Early Hints\r\nX-Hint: a\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status", "text", "then"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, "", "kept"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", "kept"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", "kept"),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nab", 200, "ab", "kept"),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab", 200, "ab", "kept"),
        (CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", 200, "abc", "kept"),
        (CHUNKED + b"2\r\nab\r\n0\r\nX-Last: a\r\n\r\n", 200, "ab", "kept"),
        (HINT + HINT + b"HTTP/1.1 503 Later\r\nContent-Length: 1\r\n\r\na", 503, "a", "kept"),
        (
            b"HTTP/1.1 200 OK\r\nX-Name: Zo\xc3\xab\r\nretry-after:3 \r\nX-Twice: a\r\n"
            b"X-Twice: b\r\nX-Folded: a\r\n b\r\nContent-Length: 0\r\n\r\n",
            200,
            "",
            "kept",
        ),
        (
            CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n") + b"1\r\na\r\n0\r\n\r\n",
            200,
            "a",
            "kept",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe", 200, "\ufffd\ufffd", "kept"),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
            200,
            "a",
            "dropped",
        ),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, "a", "dropped"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", "ended"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 200, "half", "ended"),
        (CHUNKED + b"2\r\nab\r\nnonsense", 200, "ab", "dropped"),
    ],
)
def test_answers_of_every_kind_are_read_as_by_httpx(
    answer: bytes, status: int, text: str, then: str, ingest: IngestServer
) -> None:
    replies = []
    for name in ("httpx", "fast"):
        with connected(ingest, transport=name) as made:
            before = ingest.connections
            ingest.script.append(Answer(raw=answer, stays=then != "ended"))
            replies.append(made.send(BODY))
            assert made.send(BODY).status == 200
            assert ingest.connections == before + (then != "kept")
    plain, fast = replies
    assert (fast.status, fast.text) == (status, text)
    assert (plain.status, plain.text) == (status, text)
    assert dict(fast.headers) == dict(plain.headers)
    assert len(ingest.requests) == 6  # nothing was sent again


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
        HINT,
        HINT + b"HTTP/1.1 200 OK\r\nContent-Le",
        b"\x16\x03\x01 this is not HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_what_breaks_off_before_its_body_is_no_answer(answer: bytes, ingest: IngestServer) -> None:
    for name in ("httpx", "fast"):
        with connected(ingest, transport=name) as made:
            ingest.answer = Answer(raw=answer)
            before = len(ingest.requests)
            with pytest.raises(TransportError):
                made.send(BODY)
            # A server that says nothing may have closed the connection before that.
            assert len(ingest.requests) - before == (1 if answer else 2)


@pytest.mark.parametrize("name", ["httpx", "fast"])
def test_an_answer_to_no_request_is_the_answer_to_none(name: str, ingest: IngestServer) -> None:
    surplus = b"HTTP/1.1 500 Later\r\nX-Surplus: a\r\nContent-Length: 1\r\n\r\nb"
    with connected(ingest, transport=name) as made:
        ingest.script.append(Answer(raw=OK.encoded() + surplus, stays=True))
        assert made.send(BODY) == Reply(200, {"Content-Length": "16"}, '{"success":true}')
        ingest.script.append(Answer(202))
        assert made.send(BODY).status == 202
        assert (ingest.connections, len(ingest.requests)) == (2, 3)


def test_an_answer_comes_in_any_number_of_pieces(ingest: IngestServer) -> None:
    """And where one ends is no matter of how it comes."""
    answer = HINT + CHUNKED.replace(b"OK", b"Okay") + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for number in range(3):
                    while BODY not in connection.recv(65_536):
                        pass
                    for part in [bytes([each]) for each in answer] if number else [answer]:
                        connection.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        with transport(f"http://127.0.0.1:{listener.getsockname()[1]}/") as made:
            for _ in range(3):
                assert made.send(BODY) == Reply(200, {"Transfer-Encoding": "chunked"}, "abc")
        thread.join(10)


def test_no_more_than_the_beginning_of_a_body_is_read(ingest: IngestServer) -> None:
    with connected(ingest) as made:
        ingest.script.append(HUGE)
        assert len(made.send(BODY).text) == 65_536
        assert made.send(BODY).status == 200
        assert ingest.connections == 2


def test_a_head_without_an_end_is_no_answer(ingest: IngestServer) -> None:
    with connected(ingest) as made:
        endless = b"HTTP/1.1 200 OK\r\n" + b"X-Name: a\r\n" * 20_000
        ingest.answer = Answer(raw=endless, stays=True)
        begun = time.monotonic()
        with pytest.raises(TransportError):
            made.send(BODY)
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("pace", [0, 0.2, 0.00005])
@pytest.mark.parametrize("name", ["httpx", "fast"])
@pytest.mark.parametrize(("time_left", "most"), [(30, 2.5), (0.5, 0.9)])
def test_a_body_that_does_not_come_is_waited_for_a_second(
    name: str, before: int, pace: float, time_left: float, most: float
) -> None:
    """And the status counts."""

    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 60000\r\n\r\n")
        begun = time.monotonic()
        for number in range(60_000 if pace else 0):
            connection.sendall(b".")
            while time.monotonic() < begun + number * pace:
                if pace > 0.1:
                    time.sleep(0.01)
        assert not connection.recv(65_536)  # it is closed, as nobody can use it again

    with answering(before, answer) as url, transport(url, name, timeout=30) as made:
        for _ in range(before):
            made.send(BODY)
        begun = time.monotonic()
        made.deadline = begun + time_left
        assert made.send(BODY).status == 202
        assert 0.4 < time.monotonic() - begun < most


HINTS = HINT * 500
EXTENSION = b"x" * 60_000
TRAILERS = b"X-Last: a\r\n" * 5000


@pytest.mark.parametrize("name", ["httpx", "fast"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "later"])
@pytest.mark.parametrize(
    ("begin", "flood"),
    [
        (b"", HINTS),
        (CHUNKED + b"2;", EXTENSION),
        (CHUNKED + b"1\r\na\r\n0\r\n", TRAILERS),
    ],
    ids=["hints", "chunk", "trailers"],
)
def test_an_answer_without_an_end_is_read_only_so_far(
    name: str, before: int, begin: bytes, flood: bytes
) -> None:
    sent = 0

    def answer(connection: socket.socket) -> None:
        nonlocal sent
        connection.recv(65_536)
        connection.sendall(begin)
        while True:  # until it is closed
            connection.sendall(flood)
            sent += len(flood)

    with answering(before, answer) as url, transport(url, name, timeout=1) as made:
        for _ in range(before):
            made.send(BODY)
        begun = time.monotonic()
        made.deadline = begun + 1
        with suppress(TransportError):
            assert made.send(BODY).status == 200
        assert time.monotonic() - begun < 1.9
    if name == "fast" and before:
        assert sent < 20_000_000  # most of it in buffers of the system


@pytest.mark.parametrize("name", ["httpx", "fast"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "later"])
def test_an_answer_may_come_before_the_body_was_read(name: str, before: int) -> None:
    """The server may read no more of it, and would take what follows for the rest."""

    def answer(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    with answering(before, answer, later=1) as url, transport(url, name, timeout=1) as made:
        for _ in range(before):
            made.send(BODY)
        assert made.send(b"x" * 30_000_000).status == 413
        assert made.send(BODY).status == 200  # on another connection


@pytest.mark.parametrize("name", ["httpx", "fast"])
def test_a_thread_that_is_made_to_end_leaves_no_connection(
    name: str, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(ingest, transport=name) as made:
        real = connection.Connection._exchange

        def interrupted(*arguments: Any) -> None:
            real(*arguments)
            raise SystemExit

        monkeypatch.setattr(connection.Connection, "_exchange", interrupted)
        with pytest.raises(SystemExit):
            made.send(BODY)
        assert eventually(lambda: not ingest._open)


# Proxies


@pytest.mark.usefixtures("no_hosts_without_proxy")
def test_a_proxy_gets_the_same_requests_as_from_httpx(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{ingest.port}")
    monkeypatch.setenv("DATALYR_LIVE", "1")
    for name in ("httpx", "fast"):
        with transport("http://ingest.test/a/../track?a=b", name) as made:
            for _ in range(2):
                assert made.send(BODY).status == 200
    assert {each.path for each in ingest.requests} == {"http://ingest.test/track?a=b"}
    first, *others = [list(each.headers.items()) for each in ingest.requests]
    assert others == [first] * 3
    assert "proxy-authorization" in dict(first)
    assert ingest.connections == 2


@pytest.mark.usefixtures("no_hosts_without_proxy")
def test_a_tunnel_is_kept_and_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        trusted_ingest(tmp_path, monkeypatch, "ingest.test") as ingest,
        TunnelProxy(ingest.port) as proxy,
    ):
        monkeypatch.setenv("https_proxy", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        with transport("https://ingest.test/track") as made:
            for _ in range(3):
                assert made.send(BODY).status == 200
            ingest.script.append(slow(1.5))
            assert made.send(BODY).status == 200
        assert len(proxy.requests) == ingest.connections == 1
        assert {each.path for each in ingest.requests} == {"/track"}
        assert not any("proxy-authorization" in each.headers for each in ingest.requests)


# Time and threads


def test_the_deadline_of_a_thread_is_its_own(ingest: IngestServer) -> None:
    with connected(ingest) as made:
        ingest.answer = slow(1)
        replies: list[int] = []
        other = threading.Thread(target=lambda: replies.append(made.send(BODY).status))
        other.start()
        assert eventually(lambda: ingest.in_flight == 1)
        made.deadline = time.monotonic() + 10
        ingest.answer = OK
        made.send(BODY)
        ingest.answer = slow(1)
        made.deadline = time.monotonic() + 0.2
        begun = time.monotonic()
        with pytest.raises(TransportError, match="ReadTimeout"):
            made.send(BODY)
        assert time.monotonic() - begun < 0.9
        other.join()
        assert replies == [200]
        made.deadline = None
        assert made.send(BODY).status == 200


def test_other_threads_run_while_a_request_is_under_way(ingest: IngestServer) -> None:
    with connected(ingest) as made:
        ingest.answer = slow(0.3)
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


@pytest.mark.parametrize("patched", ["before", "after"])
def test_under_gevent_other_greenlets_run_meanwhile(
    patched: str, scripts: Scripts, ingest: IngestServer
) -> None:
    pytest.importorskip("gevent")
    ingest.script.append(OK)
    ingest.answer = slow(0.5)
    patch = "from gevent import monkey; monkey.patch_all()\n"
    ended = scripts.run(
        (patch + TRACK if patched == "before" else TRACK + patch)
        + """
import gevent
client.track("u", "E")
assert client.flush()
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
    assert (ended.code, ended.err) == (0, "")
    assert (ingest.names, ingest.connections) == (["E", "E"], 1)


# Connections that are kept


def test_a_connection_that_was_closed_while_idle_delays_nothing(ingest: IngestServer) -> None:
    with transport(ingest.url) as made:
        for number in range(1, 4):
            assert made.send(BODY).status == 200
            assert made.send(BODY).status == 200
            assert (len(ingest.requests), ingest.connections) == (2 * number, number)
            ingest.close_idle()
            assert isinstance(made._engine, FastEngine)
            [connection] = made._engine._idle
            # Nothing is sent on it in vain.
            assert eventually(lambda kept=connection: kept.has_expired)


def test_a_connection_is_kept_for_half_a_minute(ingest: IngestServer) -> None:
    with connected(ingest) as made:
        engine = made._engine
        assert isinstance(engine, FastEngine)
        for used in (True, False):
            [connection] = engine._idle
            connection.used -= 29 if used else 31
            made.send(BODY)
            assert ingest.connections == 2 - used
        assert len(ingest.requests) == 3
        assert eventually(lambda: len(ingest._open) == 1)


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


def test_what_breaks_off_late_has_been_under_way_and_is_a_failure(ingest: IngestServer) -> None:
    with connected(ingest) as made:
        ingest.script.append(Answer(cut=0, delay=0.5))
        with pytest.raises(TransportError):
            made.send(BODY)
        assert len(ingest.requests) == 2


# The end


def test_closing_ends_what_is_under_way_and_nothing_is_sent_afterwards(
    ingest: IngestServer,
) -> None:
    errors: list[TransportError] = []
    with connected(ingest, timeout=60) as made:
        ingest.answer = SILENCE

        def send() -> None:
            with pytest.raises(TransportError) as raised:
                made.send(BODY)
            errors.append(raised.value)

        thread = threading.Thread(target=send)
        thread.start()
        assert eventually(lambda: ingest.in_flight == 1)
        made.close()
        thread.join(0.9)
        assert len(errors) == 1
        for _ in range(50):
            with pytest.raises(TransportError, match="the client is closed"):
                made.send(BODY)
    assert len(ingest.requests) == 2


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
for number in range(2):
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
    assert sorted(ingest.names) == ["child"] * 3 + ["parent"] * 3
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
for number in range(2):
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
            host=ingest.url,
        )
        assert (ended.code, ended.err) == (0, "")
        assert ingest.names.count("parent") == 5
        assert ingest.names.count("child") == (3 if child else 0)
        assert ingest.connections == (4 if child else 1)


@forks
@pytest.mark.parametrize("kept", [True, False])
def test_forks_in_the_middle_of_requests_hang_nobody(
    kept: bool, scripts: Scripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over TLS: in the middle of OpenSSL."""
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
            host=ingest.url,
        )
        assert ended.code == 0, ended.err
        assert ingest.names.count("child") == 15


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


def test_llhttp_is_imported_with_the_client_and_by_nothing_else() -> None:
    source = """
import sys, datalyr_core
from datalyr_core import Datalyr
Datalyr("dk_test")
assert "httptools" not in sys.modules
Datalyr("dk_test", transport="fast")
assert "httptools" in sys.modules
"""
    subprocess.run([sys.executable, "-c", source], check=True, timeout=40)


# Set-up


def test_the_environment_names_it(ingest: IngestServer) -> None:
    environ = {"DATALYR_API_KEY": "dk_test", "DATALYR_TRANSPORT": "fast"}
    assert Config.from_env(environ).transport == "fast"


def test_without_its_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, httptools.__name__)
    monkeypatch.setattr(options, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError) as raised:
        Datalyr("dk_test", transport="fast")
    [(name, told)] = raised.value.problems
    assert name == "transport"
    assert told == "is 'fast' and needs a package: pip install 'datalyr[fast]'"


def test_a_ready_client_does_not_go_with_it() -> None:
    with httpx.Client() as ready, pytest.raises(ConfigurationError) as raised:
        Datalyr("dk_test", transport="fast", http_client=ready)
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
    assert "ConnectError" in "".join(told)
    assert "hunter2" not in "".join(told) + caplog.text
