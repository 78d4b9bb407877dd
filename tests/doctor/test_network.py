"""Names, connections, TLS and proxies, on real sockets."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.conftest import Doctor, ingest_of
from tests.support.ingest import IngestServer
from tests.support.proxy import TunnelProxy

NAME = "ingest.test"
TOMORROW = datetime.now(UTC) + timedelta(days=1, hours=1)
YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        return int(closing.getsockname()[1])


def test_a_name_that_does_not_exist(doctor: Doctor) -> None:
    told = doctor(DATALYR_HOST="https://ingest.invalid/track")
    found = told.one("dns")
    assert (told.code, found["level"]) == (1, "error")
    assert found["seen"].startswith("ingest.invalid cannot be looked up: ")
    assert told.of("tcp") == told.of("tls") == []
    assert told.one("probe")["level"] == "skipped"


def test_a_resolver_that_hangs(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: released.wait(30))
    told = doctor("--timeout", "0.2", DATALYR_HOST="https://ingest.test/track")
    released.set()
    assert told.one("dns")["seen"] == "ingest.test cannot be looked up: no answer in 0.2 s"


def test_a_dead_port(doctor: Doctor, dead_port: int) -> None:
    told = doctor(DATALYR_HOST=f"http://127.0.0.1:{dead_port}/track")
    found = told.one("tcp")
    assert told.code == 1
    assert found["seen"] == (
        f"127.0.0.1 port {dead_port} does not answer at IPv4 127.0.0.1: Connection refused"
    )
    assert "datalyr inspect" in found["todo"]


def leads(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[Any, str]) -> None:
    """Let the resolver, which is not ours, lead every name to some addresses."""

    def getaddrinfo(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", (at, port)) for family, at in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("number", "level", "seen"),
    [
        (errno.ECONNREFUSED, "warning", "does not answer at IPv6 ::1: Connection refused"),
        (errno.ENETUNREACH, "ok", "this machine has no way to IPv6 ::1: Network is unreachable"),
    ],
)
def test_one_family_is_dead_while_the_other_lives(
    doctor: Doctor,
    ingest: IngestServer,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    level: str,
    seen: str,
) -> None:
    class Socket(socket.socket):
        """One of a machine that has IPv6, where it is dead."""

        def __init__(self, family: int = -1, *args: Any, **more: Any) -> None:
            wanted = socket.AF_INET if family == socket.AF_INET6 else family
            super().__init__(wanted, *args, **more)

        def connect(self, address: Any) -> None:
            if address[0] == "::1":
                raise OSError(number, os.strerror(number))
            super().connect(address)

    leads(monkeypatch, (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
    monkeypatch.setattr(socket, "socket", Socket)
    told = doctor("--no-probe", DATALYR_HOST=f"http://ingest.test:{ingest.port}/track")
    assert told.one("dns")["seen"] == "ingest.test is IPv6 ::1, IPv4 127.0.0.1"
    (lives, answers), (other, why) = told.of("tcp")
    assert (lives, other) == ("ok", level)
    assert answers.startswith(f"ingest.test port {ingest.port} answers, IPv4 in ")
    assert seen in why


def test_nothing_answers_at_a_public_address(
    doctor: Doctor, dead_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads(monkeypatch, (socket.AF_INET, "127.0.0.1"))
    told = doctor(DATALYR_HOST=f"https://ingest.test:{dead_port}/track")
    assert "firewall" in told.one("tcp")["todo"]


def test_a_firewall_that_says_nothing(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: object) -> None:
        raise TimeoutError(f"timed out after {self.gettimeout()}")

    monkeypatch.setattr(socket.socket, "connect", connect)
    told = doctor("--timeout", "7", DATALYR_HOST="http://127.0.0.1:80/track")
    assert told.one("tcp")["seen"].endswith("does not answer at IPv4 127.0.0.1: no answer in 7 s")


def test_a_good_certificate(doctor: Doctor, authority: Any) -> None:
    with ingest_of(authority.issue_cert("127.0.0.1")) as ingest:
        told = doctor(DATALYR_HOST=ingest.url)
        assert ingest.names == ["datalyr doctor"]
    found = told.one("tls")
    assert (told.code, found["level"]) == (0, "ok")
    assert found["seen"].startswith("TLSv1.3; the certificate is good for ")
    assert found["seen"].endswith("ca.pem")


def test_a_certificate_that_ends_soon(doctor: Doctor, authority: Any) -> None:
    with ingest_of(authority.issue_cert("127.0.0.1", not_after=TOMORROW)) as ingest:
        told = doctor(DATALYR_HOST=ingest.url)
    assert told.one("tls")["level"] == "warning"
    assert told.one("tls")["seen"] == "TLSv1.3; the certificate ends in 1 days"


def certificates(authority: Any) -> dict[str, Any]:
    trustme = pytest.importorskip("trustme")
    return {
        "expired": authority.issue_cert("127.0.0.1", not_after=YESTERDAY),
        "early": authority.issue_cert("127.0.0.1", not_before=TOMORROW),
        "of another address": authority.issue_cert("10.0.0.1"),
        "of nobody": trustme.CA().issue_cert("127.0.0.1"),
    }


@pytest.mark.parametrize(
    ("kind", "seen", "todo"),
    [
        ("expired", "certificate has expired", "clock"),
        ("early", "certificate is not yet valid", "clock"),
        ("of another address", "IP address mismatch", "the certificate is another server's"),
        ("of nobody", "unable to get local issuer certificate", "SSL_CERT_FILE"),
    ],
)
def test_a_bad_certificate(doctor: Doctor, authority: Any, kind: str, seen: str, todo: str) -> None:
    with ingest_of(certificates(authority)[kind]) as ingest:
        told = doctor(DATALYR_HOST=ingest.url, REQUESTS_CA_BUNDLE="/etc/company.pem")
        assert ingest.requests == []
    found = told.one("tls")
    assert (told.code, found["level"]) == (1, "error")
    assert seen in found["seen"]
    assert todo in found["todo"]
    assert ("REQUESTS_CA_BUNDLE is for other programs" in found["todo"]) is (kind == "of nobody")
    assert told.one("probe")["seen"] == "no event gets through"


def test_certificates_that_cannot_be_read(doctor: Doctor, authority: Any, tmp_path: Path) -> None:
    with ingest_of(authority.issue_cert("127.0.0.1")) as ingest:
        told = doctor(DATALYR_HOST=ingest.url, SSL_CERT_FILE=tmp_path / "none.pem")
    assert told.one("tls")["seen"].startswith("the trusted certificates cannot be read: ")
    assert "none.pem" in told.one("tls")["todo"]


def test_a_server_that_speaks_no_tls(doctor: Doctor, authority: Any) -> None:
    def refuse() -> None:
        for _ in range(2):  # the knock, and the handshake
            connection, _ = plain.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as plain:
        refusing = threading.Thread(target=refuse)
        refusing.start()
        told = doctor(DATALYR_HOST=f"https://127.0.0.1:{plain.getsockname()[1]}/track")
        refusing.join()
    assert told.one("tls")["seen"].startswith("no handshake with 127.0.0.1 port ")


def test_a_server_that_says_nothing(doctor: Doctor, authority: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/track"
        told = doctor("--timeout", "3", DATALYR_HOST=url)
    assert told.one("tls")["seen"].endswith("no answer in 3 s")


def test_a_proxy_leads_to_the_ingest(doctor: Doctor, authority: Any) -> None:
    with ingest_of(authority.issue_cert(NAME)) as ingest, TunnelProxy(ingest.port) as proxy:
        told = doctor(
            DATALYR_HOST=f"https://{NAME}/track",
            HTTPS_PROXY=f"http://user:s%40cret@127.0.0.1:{proxy.port}",
            DATALYR_LIVE=1,
        )
        assert ingest.names == ["datalyr doctor"]
        tunnels = proxy.requests
    assert told.code == 0
    assert told.one("proxy")["seen"].startswith(f"127.0.0.1 port {proxy.port} leads to {NAME}")
    assert told.one("dns")["seen"].startswith("127.0.0.1 is ")  # the proxy looks the ingest up
    assert told.one("tls")["level"] == "ok"
    assert "cret" not in str(told.document)
    assert len(tunnels) == 2  # one for the handshake, one for the event
    assert all("Proxy-Authorization: Basic dXNlcjpzQGNyZXQ=" in each for each in tunnels)


def test_a_proxy_without_login_and_one_that_is_not_asked(doctor: Doctor, authority: Any) -> None:
    with ingest_of(authority.issue_cert(NAME)) as ingest, TunnelProxy(ingest.port) as proxy:
        doctor.variables(DATALYR_HOST=f"https://{NAME}/track")
        doctor.variables(HTTPS_PROXY=f"127.0.0.1:{proxy.port}")
        assert doctor("--no-probe").one("tls")["level"] == "ok"
        told = doctor("--no-probe", NO_PROXY=NAME)
    assert told.one("proxy")["seen"] == f"none for {NAME}"
    assert told.one("dns")["level"] == "error"


def test_a_proxy_that_is_dead(doctor: Doctor, dead_port: int) -> None:
    told = doctor(DATALYR_HOST=f"https://{NAME}/track", HTTPS_PROXY=f"http://127.0.0.1:{dead_port}")
    assert told.one("tcp")["seen"].startswith(f"127.0.0.1 port {dead_port} does not answer")
    assert told.code == 1


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:1", "http://"])
def test_a_proxy_that_is_none(doctor: Doctor, proxy: str) -> None:
    told = doctor(DATALYR_HOST=f"https://{NAME}/track", HTTPS_PROXY=proxy)
    assert told.one("proxy")["level"] == "error"
    assert "HTTPS_PROXY" in told.one("proxy")["todo"]
    assert told.of("dns") == []


def test_a_proxy_that_is_spoken_to_in_another_way(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        told = doctor(
            "--no-probe",
            DATALYR_HOST=f"https://{NAME}/track",
            HTTPS_PROXY=f"socks5://127.0.0.1:{port}",
        )
    assert told.one("tls")["seen"].startswith("not looked at through a socks5 proxy")
