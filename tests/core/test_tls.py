"""Events on their way through TLS and proxies, on real sockets."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from datalyr_core import Datalyr, Event
from datalyr_core.delivery import http
from tests.conftest import MakeClient
from tests.support.engines import both_engines
from tests.support.ingest import SILENCE, Answer, IngestServer
from tests.support.proxy import SecureProxy, TunnelProxy

trustme = pytest.importorskip("trustme")

NAME = "ingest.test"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A certificate authority that this process trusts, and no other."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    http.tls_settings.cache_clear()
    yield made
    http.tls_settings.cache_clear()


def ingest_of(certificate: Any) -> IngestServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return IngestServer(context)


@both_engines
def test_a_certificate_of_a_trusted_authority_is_good(
    authority: Any, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    with ingest_of(authority.issue_cert("127.0.0.1")) as ingest:
        client = make_client(host=ingest.url)
        client.track("u", "E")
        assert client.flush()
        assert (ingest.names, caplog.records) == (["E"], [])


def bad_certificates(authority: Any) -> dict[str, Any]:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return {
        "of another name": authority.issue_cert("example.com"),
        "out of date": authority.issue_cert("127.0.0.1", not_after=yesterday),
        "of nobody": trustme.CA().issue_cert("127.0.0.1"),
    }


@pytest.mark.parametrize("kind", ["of another name", "out of date", "of nobody"])
@both_engines
def test_any_other_certificate_is_a_failure_and_nothing_is_sent(
    kind: str, authority: Any, make_client: MakeClient
) -> None:
    errors: list[str] = []

    def on_error(event: Event, error: Exception) -> None:
        errors.append(str(error))

    with ingest_of(bad_certificates(authority)[kind]) as ingest:
        client = make_client(host=ingest.url, retry_limit=0, on_error=on_error)
        client.track("u", "E")
        assert not client.flush()
        assert re.search("CERTIFICATE_VERIFY_FAILED|SSL", errors[0])
        assert ingest.requests == []


@both_engines
def test_a_reply_that_drips_through_tls_takes_no_longer_than_a_request_may(
    authority: Any, make_client: MakeClient
) -> None:
    with ingest_of(authority.issue_cert("127.0.0.1")) as ingest:
        ingest.answer = Answer(drip=0.2)
        client = make_client(host=ingest.url, timeout=1, retry_limit=0)
        client.track("u", "E")
        assert client.flush(timeout=5) is False
        assert client.stats.waiting == 1


@pytest.mark.usefixtures("no_hosts_without_proxy")
@both_engines
def test_a_proxy_of_the_environment_is_used_and_sees_no_event(
    authority: Any, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ingest_of(authority.issue_cert(NAME)) as ingest, TunnelProxy(ingest.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"user:pass@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("DATALYR_LIVE", "1")  # the name is not this machine's
        client = make_client(host=f"https://{NAME}/track", concurrency=1)
        for _ in range(3):
            client.track("u", "E")
        assert client.flush()
        assert ingest.names == ["E"] * 3
        [tunnel] = proxy.requests  # kept for all three
        assert tunnel.startswith(f"CONNECT {NAME}:443 ")
        assert f"Basic {base64.b64encode(b'user:pass').decode()}" in tunnel
        assert "dk_test" not in tunnel
        assert ingest.requests[0].headers["host"] == NAME


@pytest.mark.usefixtures("no_hosts_without_proxy")
@both_engines
def test_a_proxy_may_be_spoken_to_over_tls_itself(
    authority: Any, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        ingest_of(authority.issue_cert(NAME)) as ingest,
        SecureProxy(ingest.port, context) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"https://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("DATALYR_LIVE", "1")
        client = make_client(host=f"https://{NAME}/track", concurrency=1, timeout=1, retry_limit=0)
        for _ in range(3):
            client.track("u", "E")
        assert client.flush()
        assert ingest.names == ["E"] * 3
        assert (len(proxy.requests), ingest.connections) == (1, 1)
        ingest.script.append(SILENCE)
        client.track("u", "E")
        assert client.flush(timeout=5) is False  # the time-out holds there, too
        assert len(ingest.requests) == 4


@pytest.mark.usefixtures("no_hosts_without_proxy")
@both_engines
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_has_to_show_a_certificate_of_the_same_authorities(
    scheme: str, authority: Any, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which are read once, not for each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with (
        ingest_of(authority.issue_cert("127.0.0.1", NAME)) as ingest,
        SecureProxy(ingest.port, context) as proxy,
    ):
        port = ingest.port if scheme == "http" else proxy.port  # it gets the events as they are
        monkeypatch.setenv(f"{scheme}_proxy", f"https://127.0.0.1:{port}")
        monkeypatch.setenv("DATALYR_LIVE", "1")
        client = make_client(host=f"{scheme}://{NAME}/track", concurrency=1)
        for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.setenv(variable, "/nowhere/at/all")
        monkeypatch.setattr("certifi.where", lambda: "/nowhere/at/all")
        client.track("u", "E")
        assert client.flush()
        assert ingest.names == ["E"]


@pytest.mark.usefixtures("no_hosts_without_proxy")
def test_authorities_are_read_only_where_something_is_sent_over_tls(
    ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host, proxy, read in [
        (ingest.url, "", 0),
        ("https://ingest.test/track", "", 1),
        ("http://ingest.test/track", "http://127.0.0.1:1", 0),
        ("http://ingest.test/track", "https://127.0.0.1:1", 1),
    ]:
        http.tls_settings.cache_clear()
        monkeypatch.setenv("http_proxy", proxy)
        with Datalyr("dk_test", host=host) as client:
            assert http.tls_settings.cache_info().currsize == read, host
            if host == ingest.url:
                client.track("u", "E")
                assert client.flush()
    http.tls_settings.cache_clear()
    assert ingest.names == ["E"]
