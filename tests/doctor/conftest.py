from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datalyr_core import lifecycle
from datalyr_core.cli import main
from datalyr_core.delivery import http
from tests.support.ingest import IngestServer

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
OTHERS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
SERVERS = ("GUNICORN_CMD_ARGS", "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN", "KUBERNETES_SERVICE_HOST")


@dataclass(frozen=True)
class Told:
    """What the doctor told."""

    code: int
    document: Mapping[str, Any]

    def of(self, check: str) -> list[tuple[str, str]]:
        """Level and text of each finding of a check."""
        findings = self.document["findings"]
        return [(each["level"], each["seen"]) for each in findings if each["check"] == check]

    def one(self, check: str) -> Mapping[str, str]:
        """The only finding of a check."""
        (found,) = [each for each in self.document["findings"] if each["check"] == check]
        return found


class Doctor:
    """Run the command in a folder of its own, with the set-up in the environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._patch = patch

    def variables(self, **given: object) -> None:
        for name, value in given.items():
            self._patch.setenv(name, str(value))

    def text(self, *arguments: str) -> tuple[int, str]:
        code = main(["doctor", *arguments])
        out, err = self._capsys.readouterr()
        assert err == ""
        return code, out

    def __call__(self, *arguments: str, **variables: object) -> Told:
        self.variables(**variables)
        code, out = self.text("--json", *arguments)
        return Told(code, json.loads(out))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def doctor(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Doctor:
    """The command, with nothing of this machine's environment in its way."""
    of_ours = [name for name in os.environ if name.startswith("DATALYR_")]
    for name in (*PROXIES, *OTHERS, *SERVERS, *of_ours):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("DATALYR_API_KEY", "dk_test")
    return Doctor(capsys, monkeypatch)


@pytest.fixture
def well(doctor: Doctor, ingest: IngestServer) -> Doctor:
    """The same, with an ingest that answers."""
    doctor.variables(DATALYR_HOST=ingest.url)
    return doctor


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doctor: Doctor) -> Iterator[Any]:
    """A certificate authority that this process trusts, and no other."""
    trustme = pytest.importorskip("trustme")
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


@pytest.fixture
def own_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the path, the modules and the clients back after an application was imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules, clients = set(sys.modules), set(lifecycle.clients())
    yield
    for client in set(lifecycle.clients()) - clients:
        client.close(timeout=0)
    for name in set(sys.modules) - modules:
        if name.startswith(("shop_", "project")):
            del sys.modules[name]
