"""Certificates that are not to be trusted."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults.fault import Fault
from tests.faults.site import Breaking, FaultyIngest, Site

NAME = "127.0.0.1"


class SecureSite(Site):
    """An ingest over TLS, and the authority that this process trusts."""

    def __init__(self, ingest: FaultyIngest, authority: Any) -> None:
        super().__init__(ingest)
        self.authority = authority


def _shown(certificate: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@contextmanager
def _secure() -> Iterator[Site]:
    import trustme

    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "ca.pem"
        authority.cert_pem.write_to_path(bundle)
        os.environ["SSL_CERT_FILE"] = str(bundle)  # of this row's own process
        with FaultyIngest(_shown(authority.issue_cert(NAME))) as ingest:
            yield SecureSite(ingest, authority)


def _showing(make: Callable[[Any], Any]) -> Breaking:
    @contextmanager
    def broken(site: Site) -> Iterator[None]:
        assert isinstance(site, SecureSite)
        site.ingest.show(_shown(make(site.authority)))
        yield
        site.ingest.show(_shown(site.authority.issue_cert(NAME)))

    return broken


def _expired(authority: Any) -> Any:
    return authority.issue_cert(NAME, not_after=datetime.now(UTC) - timedelta(days=1))


def _of_nobody(authority: Any) -> Any:
    return type(authority)().issue_cert(NAME)


FAULTS = (
    Fault("TLS: expired", _showing(_expired), _secure, needs="trustme"),
    Fault(
        "TLS: for another name",
        _showing(lambda authority: authority.issue_cert("example.com")),
        _secure,
        needs="trustme",
    ),
    Fault("TLS: of nobody", _showing(_of_nobody), _secure, needs="trustme"),
)
