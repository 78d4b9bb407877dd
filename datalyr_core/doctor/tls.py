"""Checks of TLS: the chain, the name, the dates, and the certificates that are trusted here."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import time
from typing import Any

from datalyr_core.delivery.http import tls_settings
from datalyr_core.doctor.bounded import bounded
from datalyr_core.doctor.findings import Finding, error, ok, skipped, warning
from datalyr_core.doctor.route import Place

SOON = 14  # days before the end of a certificate
_DAY = 86_400
# Codes of OpenSSL's X509_V_ERR_…
_NOT_YET, _EXPIRED, _OTHER_NAMES = 9, 10, (62, 64)
_FOREIGN = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def check_tls(target: Place, proxy: Place | None, timeout: float) -> Finding:
    """Shake hands with the ingest, through the proxy if there is one."""
    if target.scheme != "https":
        return skipped("tls", "the ingest is spoken to without TLS")
    if proxy and proxy.scheme != "http":
        return skipped("tls", f"not looked at through a {proxy.scheme} proxy; the probe is")
    try:
        settings = tls_settings(ssl.SSLContext)
    except OSError as problem:
        return error(
            "tls",
            f"the trusted certificates cannot be read: {problem}",
            f"SSL_CERT_FILE is {os.environ.get('SSL_CERT_FILE')!r}; name a readable PEM file.",
        )
    try:
        version, certificate = bounded(lambda: _shake(target, proxy, timeout, settings), timeout)
    except ssl.SSLCertVerificationError as problem:
        return _distrusted(target, problem)
    except (OSError, http.client.HTTPException) as problem:
        slow = isinstance(problem, TimeoutError)
        return error(
            "tls",
            f"no handshake with {target}: {f'no answer in {timeout:g} s' if slow else problem}",
            "Check that an HTTPS server listens there, and what the proxy or firewall says of it.",
        )
    return _dated(certificate, version)


def _shake(
    target: Place, proxy: Place | None, timeout: float, settings: ssl.SSLContext
) -> tuple[str, Any]:
    way = proxy or target
    connection = http.client.HTTPSConnection(way.host, way.port, timeout=timeout, context=settings)
    if proxy:
        connection.set_tunnel(target.host, target.port, _authorization(proxy))
    try:
        connection.connect()
        secured: Any = connection.sock
        return secured.version(), secured.getpeercert()
    finally:
        connection.close()


def _authorization(proxy: Place) -> dict[str, str]:
    if proxy.login is None:
        return {}
    login = base64.b64encode(":".join(proxy.login).encode()).decode()
    return {"Proxy-Authorization": f"Basic {login}"}


def _distrusted(target: Place, problem: ssl.SSLCertVerificationError) -> Finding:
    return error(
        "tls",
        f"the certificate of {target} is not good: {problem.verify_message}",
        _advice(problem.verify_code),
    )


def _advice(code: int) -> str:
    if code in (_NOT_YET, _EXPIRED):
        return "Compare this machine's clock with the right time; else the server needs a new one."
    if code in _OTHER_NAMES:
        return "Check the name in host; the certificate is another server's."
    foreign = [name for name in _FOREIGN if os.environ.get(name)]
    heard = f" {' and '.join(foreign)} is for other programs and not read here." if foreign else ""
    return (
        "If a proxy of your company signs traffic, put its certificate into a PEM file and name "
        f"that in SSL_CERT_FILE.{heard}"
    )


def _dated(certificate: dict[str, Any], version: str) -> Finding:
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = int((ends - time.time()) // _DAY)
    store = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    trust = f", trusted by {store}" if store else ""
    if days < SOON:
        return warning(
            "tls",
            f"{version}; the certificate ends in {days} days",
            "Tell whoever runs that server or proxy to renew it.",
        )
    return ok("tls", f"{version}; the certificate is good for {days} days{trust}")
