"""Certificates of brokers are verified."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from datalyr_core import Config
from datalyr_core.delivery.broker import BrokerTransport
from datalyr_core.errors import Unavailable
from tests.broker.taking import names_at
from tests.support.waiting import eventually

pytest.importorskip("kombu")
trustme = pytest.importorskip("trustme")


@pytest.fixture
def authority(tmp_path: Path) -> Any:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    return made


@pytest.fixture
def server(authority: Any) -> Iterator[dict[str, int]]:
    """The ports of servers that shake hands and hang up, by the name in their certificate."""
    listening = {}
    for name in ("127.0.0.1", "other.example"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        listening[name] = context.wrap_socket(
            socket.create_server(("127.0.0.1", 0)), server_side=True
        )
        threading.Thread(target=hang_up, args=(listening[name],), daemon=True).start()
    yield {name: each.getsockname()[1] for name, each in listening.items()}
    for each in listening.values():
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def hang_up(server: ssl.SSLSocket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except ssl.SSLError:
            continue
        except OSError:
            if server.fileno() < 0:
                return


def refusal(url: str) -> Unavailable:
    transport = BrokerTransport(Config(api_key="dk_test", broker=url, timeout=20))
    with pytest.raises(Unavailable) as told:
        transport.send_many([b"{}"])
    return told.value


URLS = ["rediss://127.0.0.1:{}/0", "amqps://guest:guest@127.0.0.1:{}//"]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    ("trusted", "name", "why"),
    [
        (False, "127.0.0.1", "self-signed|unable to get local issuer"),
        (True, "other.example", "IP address mismatch"),
    ],
)
def test_a_certificate_that_is_no_good(
    trusted: bool,
    name: str,
    why: str,
    url: str,
    server: dict[str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    error = refusal(url.format(server[name]))
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)

    assert re.search(why, str(error)), str(error)
    assert "certificate" in error.remedy


@pytest.mark.parametrize("url", URLS)
def test_a_good_certificate_and_a_server_that_hangs_up(
    url: str, server: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    error = refusal(url.format(server["127.0.0.1"]))
    assert "CERTIFICATE" not in str(error)
    assert error.remedy == ""


@pytest.mark.parametrize("by", ["environment", "url"])
def test_a_redis_over_tls(
    by: str, authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    files = {"tls-cert-file": "cert.pem", "tls-key-file": "key.pem", "tls-ca-cert-file": "ca.pem"}
    command = ["redis-server", "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
    for option, file in files.items():
        command += [f"--{option}", str(tmp_path / file)]
    url = f"rediss://127.0.0.1:{port}/0"
    if by == "url":
        url += f"?ssl_ca_certs={tmp_path / 'ca.pem'}"
    else:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    process = subprocess.Popen(
        [*command, "--save", "", "--dir", str(tmp_path)], stdout=subprocess.DEVNULL
    )
    try:
        transport = BrokerTransport(Config(api_key="dk_test", broker=url, timeout=20))

        def sent() -> bool:
            with suppress(Unavailable):
                return transport.send_many([b'{"event":"E"}']).status == 200
            return False

        if process.poll() is not None:
            pytest.skip("this redis-server has no TLS")
        assert eventually(sent, 30)
        transport.close()
        assert names_at(url, "datalyr.events") == ["E"]
    finally:
        process.terminate()
        process.wait(30)
