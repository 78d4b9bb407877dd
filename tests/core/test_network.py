"""Hosts that have several addresses, of which some are dead, on real sockets."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpcore
import pytest

from datalyr_core import Config, Event
from datalyr_core.delivery import http, network
from datalyr_core.delivery.http import HttpTransport
from datalyr_core.errors import TransportError
from tests.conftest import MakeClient
from tests.support.ingest import OK, IngestServer, slow

HOST = "ingest.localhost"  # a name of this machine, which a test may send to
IPV4, IPV6 = "127.0.0.1", "::1"
END = float("inf")


@contextmanager
def dead(address: str, port: int) -> Iterator[None]:
    """Answer nobody who connects: the queue of those who wait to be accepted is full."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            pytest.skip(f"{address} is not to be had here: {error}")
        listener.listen(0)
        while True:
            waiting = stack.enter_context(socket.socket(family))
            waiting.settimeout(0.3)
            try:
                waiting.connect(listener.getsockname())
            except TimeoutError:
                break
        yield


class Names:
    """Stand in for the system's resolver, which tests cannot teach a name."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self._real = socket.getaddrinfo

    def __call__(self, host: str, port: Any, *args: Any, **options: Any) -> Any:
        if host != HOST:
            return self._real(host, port, *args, **options)
        if not self.addresses:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        found = (self._real(each, port, *args, **options) for each in self.addresses)
        return [info for infos in found for info in infos]


def backend(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> network.TimedBackend:
    monkeypatch.setattr(socket, "getaddrinfo", Names(*addresses))
    return network.TimedBackend()


def peer(stream: httpcore.NetworkStream) -> str:
    found = str(stream.get_extra_info("server_addr")[0])
    stream.close()
    return found


@pytest.fixture(autouse=True)
def four_seconds() -> None:
    network.give_up_at.set(time.monotonic() + 4)


def test_where_ipv6_is_dead_events_go_over_ipv4_within_the_time_of_one_request(
    make_client: MakeClient, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[str] = []

    def on_error(event: Event, error: Exception) -> None:
        errors.append(str(error))

    monkeypatch.setattr(socket, "getaddrinfo", Names(IPV6, IPV4))
    ingest.answer = slow(0.2)  # as one across the world
    with dead(IPV6, ingest.port):
        client = make_client(
            host=f"http://{HOST}:{ingest.port}/track", timeout=4, retry_limit=0, on_error=on_error
        )
        client.track("u", "E")
        assert client.flush(timeout=20), errors
    assert (ingest.names, client.stats.retried) == (["E"], 0)


def test_the_family_that_worked_goes_first_from_then_on(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    network_ = backend(monkeypatch, IPV6, IPV6, IPV4)
    with dead(IPV6, ingest.port):
        begun = time.monotonic()
        assert peer(network_.connect_tcp(HOST, ingest.port)) == IPV4
        first = time.monotonic() - begun
        assert peer(network_.connect_tcp(HOST, ingest.port)) == IPV4
        assert time.monotonic() - begun - first < first / 2
    assert first >= 1  # a third of the time, and no more than a half: families take turns
    assert first < 3


def test_an_address_that_refuses_is_passed_over_at_once(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    network_ = backend(monkeypatch, IPV6, IPV4)
    begun = time.monotonic()
    assert peer(network_.connect_tcp(HOST, ingest.port)) == IPV4
    assert time.monotonic() - begun < 1


def test_where_every_address_is_dead_the_time_is_that_of_one_request(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest.refuse()
    network_ = backend(monkeypatch, IPV6, IPV4)
    with dead(IPV6, ingest.port), dead(IPV4, ingest.port):
        begun = time.monotonic()
        network.give_up_at.set(begun + 2)
        with pytest.raises(httpcore.ConnectTimeout):
            network_.connect_tcp(HOST, ingest.port)
        assert time.monotonic() - begun < 4


def test_a_name_without_an_address_is_a_failure_that_says_so(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(httpcore.ConnectError, match="Temporary failure in name resolution"):
        backend(monkeypatch).connect_tcp(HOST, ingest.port)


def test_a_connection_that_is_made_while_the_transport_closes_is_closed(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool forgets a connection that it has begun to make: nothing else closes that."""
    made: list[socket.socket] = []
    transport = HttpTransport(Config(api_key="dk_test", host=ingest.url))
    real = httpcore.SyncBackend.connect_tcp

    def connect_tcp(*args: Any, **options: Any) -> httpcore.NetworkStream:
        stream = real(*args, **options)
        made.append(stream.get_extra_info("socket"))
        transport.close()
        return stream

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)
    with pytest.raises(TransportError, match="closed"):
        transport.send(b"{}")
    assert [each.fileno() for each in made] == [-1]
    assert ingest.requests == []


def test_a_connection_is_closed_that_the_pool_does_not_know_yet(ingest: IngestServer) -> None:
    network_ = network.TimedBackend()
    stream = network_.connect_tcp(IPV4, ingest.port)
    found = stream.get_extra_info("socket")
    network_.close()
    assert found.fileno() == -1
    with pytest.raises(httpcore.ConnectError, match="closed"):
        network_.connect_tcp(IPV4, ingest.port)


def test_a_handshake_that_gets_no_answer_ends_with_the_transport(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TLS has taken the socket away by then, so that nobody else can reach it."""
    monkeypatch.setattr(network, "AWAKE", 20)
    errors: list[TransportError] = []
    with socket.create_server((IPV4, 0)) as listener:
        host = f"https://{IPV4}:{listener.getsockname()[1]}/track"
        transport = HttpTransport(Config(api_key="dk_test", host=host, timeout=60))

        def send() -> None:
            with pytest.raises(TransportError) as raised:
                transport.send(b"{}")
            errors.append(raised.value)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1)  # the handshake has begun
            begun = time.monotonic()
            transport.close()
            assert time.monotonic() - begun < 10
            thread.join(20)
            assert len(errors) == 1
            while connection.recv(4096):  # and nobody holds its other end
                pass


def test_threads_that_go_on_delay_the_end_once_and_not_each_of_them(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    backend = network.TimedBackend()
    streams = [backend.connect_tcp(IPV4, ingest.port) for _ in range(8)]
    found = [stream.get_extra_info("socket") for stream in streams]
    at_work = threading.Barrier(9)

    def wait(_: bytes, __: float) -> bytes:
        at_work.wait(20)
        go_on.wait(20)
        return b""

    for stream in streams:
        monkeypatch.setattr(stream, "_talk_plainly", wait)
    threads = [threading.Thread(target=stream.exchange, args=(b"", END)) for stream in streams]
    for thread in threads:
        thread.start()
    at_work.wait(20)
    begun = time.monotonic()
    backend.close()
    took = time.monotonic() - begun
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert network.AWAKE <= took < 3 * network.AWAKE
    assert [each.fileno() for each in found] == [-1] * 8


@pytest.mark.parametrize("whole", [True, False], ids=["all connections", "it alone"])
def test_a_connection_whose_thread_goes_on_is_closed_by_that_thread(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr(network, "AWAKE", 0.01)
    backend = network.TimedBackend()
    stream = backend.connect_tcp(IPV4, ingest.port)
    found = stream.get_extra_info("socket")

    def wait(_: bytes, __: float) -> bytes:
        (backend if whole else stream).close()
        assert found.fileno() != -1  # it is in use
        return b""

    monkeypatch.setattr(stream, "_talk_plainly", wait)
    assert stream.exchange(b"", END) == b""
    assert found.fileno() == -1


def test_a_handshake_within_another_connection_over_tls_keeps_no_twin() -> None:
    """As to an ingest behind a proxy that is spoken to over TLS itself."""
    near, far = socket.socketpair()
    outer = ssl.create_default_context().wrap_socket(
        near, server_hostname="proxy", do_handshake_on_connect=False
    )
    twins: list[object] = []

    class Outer(httpcore.NetworkStream):
        def get_extra_info(self, info: str) -> Any:
            return outer

        def start_tls(self, *_: Any) -> httpcore.NetworkStream:
            twins.append(stream._twin)
            return self

    backend = network.TimedBackend()
    stream = network.TimedStream(Outer(), backend)
    stream.start_tls(ssl.create_default_context())
    assert twins == [None]
    outer.close()
    far.close()


def test_head_and_body_go_out_in_one_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one costs both sides as much as the first."""
    packets: list[bytes] = []
    with socket.create_server((IPV4, 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                for _ in range(2):
                    packets.append(connection.recv(65_536))
                    connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        host = f"http://{IPV4}:{listener.getsockname()[1]}/track"
        transport = HttpTransport(Config(api_key="dk_test", host=host))
        sends = count_sends(monkeypatch)
        for _ in range(2):
            assert transport.send(b'{"event":"E"}').status == 204
        transport.close()
        thread.join(10)
    assert packets[0] == packets[1]
    assert packets[0].endswith(b'\r\n\r\n{"event":"E"}')
    assert sends == [len(each) for each in packets]


def count_sends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    real = socket.socket.sendall

    def sendall(connection: socket.socket, data: bytes, *flags: int) -> None:
        if not data.startswith(b"HTTP/"):  # no answer
            sizes.append(len(data))
        real(connection, data, *flags)

    monkeypatch.setattr(socket.socket, "sendall", sendall, raising=False)
    return sizes


def test_an_answer_that_comes_before_the_body_was_read_is_one() -> None:
    """The server closes, and the rest of what was to be sent comes to nothing."""
    with socket.create_server((IPV4, 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            connection.close()  # with something unread, which resets the connection

        thread = threading.Thread(target=answer)
        thread.start()
        host = f"http://{IPV4}:{listener.getsockname()[1]}/track"
        transport = HttpTransport(Config(api_key="dk_test", host=host))
        assert transport.send(b"x" * 4_000_000).status == 413
        transport.close()
        thread.join(10)


def test_connections_that_nobody_uses_are_closed(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest.answer = slow(0.2)
    transport = HttpTransport(Config(api_key="dk_test", host=ingest.url))
    threads = [threading.Thread(target=transport.send, args=(b"{}",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool = transport._engine
    assert isinstance(pool, http.Pool)
    kept = [each._made for each in pool._idle]
    assert len(kept) == 4
    ingest.answer = OK
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + http.KEEP_ALIVE - 1)
    transport.send(b"{}")  # on the one of the four that was in use last
    monkeypatch.setattr(time, "monotonic", lambda: now + http.KEEP_ALIVE + 5)
    transport.send(b"{}")
    monkeypatch.undo()
    assert [each.is_closed() for each in kept] == [True, True, True, False]
    assert [each._made for each in pool._idle] == kept[3:]
    assert ingest.connections == 4
    transport.close()
