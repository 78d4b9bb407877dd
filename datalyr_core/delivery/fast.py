"""The ingest over HTTP, by pyreqwest: a compiled engine, which takes less of the processor."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import certifi
import httpx
from pyreqwest.client import SyncClient, SyncClientBuilder
from pyreqwest.exceptions import NetworkError, PyreqwestError, RequestTimeoutError
from pyreqwest.http import HeaderMap, Url
from pyreqwest.proxy import ProxyBuilder
from pyreqwest.response import SyncResponse

from datalyr_core.config import Config
from datalyr_core.delivery.base import Reply
from datalyr_core.delivery.http import (
    BODY_TIME,
    KEEP_ALIVE,
    MAX_REPLY,
    Engine,
    Pool,
    Stale,
    beginning,
    named_proxy,
)
from datalyr_core.errors import TransportError
from datalyr_core.warn_once import warn_once

logger = logging.getLogger("datalyr")

# Clients that are open. A child that is forked meanwhile keeps its copies: giving one up speaks
# to a thread that is the parent's alone.
_open: set[SyncClient] = set()


# In which process pyreqwest's thread was started, or is about to be. A child of that one must not
# ask for it: forked in the middle of the start, it would wait for that without an end.
_started_in: int | None = None


class FastEngine:
    """Post through pyreqwest, or through httpx where pyreqwest cannot work.

    Which it is, the first send finds out: pyreqwest has one thread of its own for the whole
    process, which its first client starts and no fork survives, and gevent may patch after an
    application has been imported.
    """

    def __init__(self, url: httpx.URL, headers: dict[str, str], config: Config) -> None:
        """Read the environment: what is wrong there is to be known now."""
        # Here, in the main thread, and not when it is needed. It checks the environment, too.
        self._spare = Pool(url, headers, config)
        self._builder = _builder(url, headers, config)
        self._url = Url(str(url.copy_with(userinfo=b"")))  # which httpx does not send either
        self._config = config
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._choosing = threading.RLock()
        self._chosen: Engine | None = None
        self._closed = False

    def post(self, body: bytes, end: float) -> Reply:
        """Post one body; see `Engine`."""
        return (self._chosen or self._choose()).post(body, end)

    def close(self) -> None:
        """End what is under way, and send nothing more."""
        self._closed = True
        self._spare.close()
        # A client of pyreqwest that is closed may still send what it is given.
        chosen, self._chosen = self._chosen, self._spare
        if chosen is not None:
            chosen.close()

    def _choose(self) -> Engine:
        """Choose an engine; if it is httpx's, say so on the log, while no lock is held."""
        why = ""
        with self._choosing:
            if self._chosen is None:
                self._chosen, why = self._found()
            chosen = self._chosen
        if why:
            warn_once(logger, f"transport='fast' does not work {why}; events go out through httpx")
        if self._closed:  # meanwhile
            self._chosen = self._spare
            chosen.close()
            return self._spare
        return chosen

    def _found(self) -> tuple[Engine, str]:
        """Return the engine that works here, and why that is not pyreqwest."""
        monkey: Any = sys.modules.get("gevent.monkey")
        if monkey is not None and monkey.is_module_patched("threading"):
            return self._spare, "under gevent, where each request would stop all greenlets"
        try:
            client = _built(self._builder)
        except RuntimeError:
            return self._spare, "in a process that was forked after pyreqwest's first use"
        return _Compiled(client, self._url, self._config), ""


class _Compiled:
    """Post through a client of pyreqwest."""

    def __init__(self, client: SyncClient, url: Url, config: Config) -> None:
        _open.add(client)
        self._client = client
        self._url = url
        self._usual = config.timeout - 0.1  # seconds; who has less needs a time-out of its own
        # pyreqwest does not tell on which connection a request went out. There are at most as
        # many kept ones as threads have been at work at once.
        self._at_work: set[int] = set()
        self._most = 0
        self._kept = 0

    def post(self, body: bytes, end: float) -> Reply:
        # Nothing is read ahead: what goes wrong with a body would take the status away.
        request = self._client.post(self._url).body_bytes(body).streamed_read_buffer_limit(0)
        left = end - time.monotonic()
        if left < self._usual:
            request = request.timeout(timedelta(seconds=max(left, 0.001)))
        thread = threading.get_ident()
        self._at_work.add(thread)
        self._most = max(self._most, len(self._at_work))
        try:
            with request.build_streamed() as response:
                end = min(end, time.monotonic() + BODY_TIME)
                reply = Reply(response.status, _Headers(response.headers), _text(response, end))
        except PyreqwestError as error:
            told = _told(error)
            if self._kept > 0 and _is_stale(error):
                self._kept -= 1
                raise Stale(told) from None
            raise told from None  # it shows the URL
        finally:
            self._at_work.discard(thread)
        self._kept = min(self._kept + 1, self._most)
        return reply

    def close(self) -> None:
        self._client.close()
        _open.discard(self._client)


class _Headers(Mapping[str, str]):
    """Read the headers of an answer when somebody asks for them: of most answers nobody does."""

    __slots__ = ("_found",)

    def __init__(self, found: HeaderMap) -> None:
        self._found = found

    def __getitem__(self, name: str) -> str:
        try:
            return self._found[name]
        except ValueError:  # it is not ASCII
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in self._found if name in self])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


def _text(response: SyncResponse, end: float) -> str:
    """Read the beginning of a body; see `beginning`. Mostly it is there, all in one part."""
    read = response.body_reader.read_chunk
    try:
        first = read()
    except PyreqwestError:
        first = None
    if first is None:
        return ""
    if str(len(first)) == response.get_header("content-length"):
        return first.to_bytes()[:MAX_REPLY].decode("utf-8", "replace")
    return beginning(chain([bytes(first)], map(bytes, iter(read, None))), end)


def _builder(url: httpx.URL, headers: dict[str, str], config: Config) -> SyncClientBuilder:
    # What pyreqwest does by itself is off: it would read proxies from elsewhere, follow
    # redirects, and decode replies.
    builder = (
        SyncClientBuilder()
        .default_headers(headers)
        .timeout(timedelta(seconds=config.timeout))
        .pool_idle_timeout(timedelta(seconds=KEEP_ALIVE))
        .pool_max_idle_per_host(config.concurrency)
        .http2(enable=True)
        .follow_redirects(enable=False)
        .gzip(enable=False)
        .brotli(enable=False)
        .zstd(enable=False)
        .deflate(enable=False)
        .no_proxy()
    )
    if proxy := named_proxy(url.scheme, url.host):
        builder = builder.proxy(ProxyBuilder.all(proxy))
    if not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys():
        # Beside the system's, which a small container may not have.
        builder = builder.add_root_certificate_pem(Path(certifi.where()).read_bytes())
    return builder


def _built(builder: SyncClientBuilder) -> SyncClient:
    """Make a client, and pyreqwest's thread if there is none.

    Raises:
        RuntimeError: There was one before a fork; it may have been the application's own.
    """
    global _started_in
    if _started_in not in (None, os.getpid()):
        raise RuntimeError
    _started_in = os.getpid()
    return builder.build()


def _is_stale(error: PyreqwestError) -> bool:
    """Tell whether a connection broke that had been made."""
    return isinstance(error, NetworkError) and "client error (Connect)" not in _causes(error)


def _told(error: PyreqwestError) -> TransportError:
    """Say what an error means, without the URL, which may be nobody else's business."""
    kind = RequestTimeoutError if isinstance(error, RequestTimeoutError) else type(error)
    said = [cause for cause in _causes(error) if "for url (" not in cause]
    return TransportError(f"{kind.__name__}: {': '.join(said) or error.args[0]}"[:500])


def _causes(error: PyreqwestError) -> list[str]:
    details: Any = getattr(error, "details", None) or {}
    return [cause["message"] for cause in details.get("causes") or ()]
