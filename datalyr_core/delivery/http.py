"""The ingest over HTTP, by httpx's engine."""

from __future__ import annotations

# A fork in the middle of an import leaves the child with a lock that nobody releases. What
# the sender's threads would import is therefore imported here, in the main thread.
import encodings.idna  # noqa: F401 - by a connection to a host name
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from datalyr_core import guard
from datalyr_core.config import Config
from datalyr_core.delivery.base import Reply, stale_until
from datalyr_core.delivery.network import TimedBackend, give_up_at
from datalyr_core.errors import SendRefused, TransportError
from datalyr_core.event import LIBRARY
from datalyr_core.options import is_loopback
from datalyr_core.per_thread import PerThread
from datalyr_core.version import __version__
from datalyr_core.warn_once import warn_once

logger = logging.getLogger("datalyr")

MAX_REPLY = 65_536  # bytes of a reply that are read; nobody needs more to understand it
BODY_TIME = 1.0  # seconds for it, once the status is there: that is what counts
KEEP_ALIVE = 30.0  # seconds that an idle connection is kept: less than common servers keep it

# What using a connection raises that the server has closed meanwhile. By name: httpcore,
# httpx and their successors have a class each.
_STALE = {"RemoteProtocolError", "ReadError", "WriteError"}

_Answered = tuple[int, Mapping[str, str], Iterable[bytes]]  # status, headers, body


class HttpTransport:
    """Post each event on a kept-alive connection."""

    def __init__(self, config: Config) -> None:
        """Make the connection pool; connections are made by the first send."""
        url = httpx.URL(config.host)
        headers = {
            "X-API-Key": config.api_key or "",
            "Content-Type": "application/json",
            "User-Agent": f"{LIBRARY}/{__version__}",
            "Accept": "application/json",
            # The reply is read raw: decoding a small one could make it a large one.
            "Accept-Encoding": "identity",
        }
        client = config.http_client
        self._engine: _Engine = (
            _Pool(url, headers, config.concurrency)
            if client is None
            else _Client(client, url, headers)
        )
        guarded = client is None or _reaches_network(client)
        self._elsewhere = guard.host_elsewhere(config.host) if guarded else None
        self._timeout = config.timeout
        self._most_kept = config.concurrency
        self._stale_at: deque[float] = deque(maxlen=config.concurrency + 1)  # when the last were
        self._deadline: PerThread[float] = PerThread()
        self._closed = False

    def send(self, body: bytes) -> Reply:
        """Post a body, again at once on a new connection if a kept one turns out to be dead.

        Raises:
            TransportError: No answer came in time; it shows the engine's error.
            SendRefused: This is a test run, and the ingest is not on this machine.
        """
        if self._elsewhere and (refusal := guard.refusal(self._elsewhere)):
            raise SendRefused(refusal)
        budget = self._budget()
        begun = time.monotonic()
        again = False
        while True:
            watch = _Watch()
            try:
                return self._exchange(body, watch, budget, begun + budget, again=again)
            except Exception as error:  # also of a foreign client, which may raise anything
                in_time = time.monotonic() < stale_until(begun, budget)
                # Closing takes the connection away from a request that is under way.
                if again or self._closed or not (in_time and watch.reused and _is_stale(error)):
                    raise TransportError(f"{type(error).__name__}: {error}"[:500]) from error
            again = True
            self._note_stale()

    def close(self) -> None:
        """Close the connections that are ours."""
        self._closed = True
        self._engine.close()

    @property
    def deadline(self) -> float | None:
        """Return by when requests of this thread must be over, on the monotonic clock."""
        return self._deadline.get()

    @deadline.setter
    def deadline(self, deadline: float | None) -> None:
        """Set it for this thread alone: others have their usual time."""
        self._deadline.set(deadline)

    def _note_stale(self) -> None:
        """Say it once if more connections break off than can have been closed while idle.

        What broke off may have been taken: the ingest then gets events twice, all the time.
        """
        now = time.monotonic()
        self._stale_at.append(now)
        if len(self._stale_at) > self._most_kept and now - self._stale_at[0] < KEEP_ALIVE:
            warn_once(
                logger,
                "the ingest, or what is before it, keeps breaking off connections that it has "
                "kept alive; events are sent again at once, and some may come twice",
                kind="connections break off",
            )

    def _exchange(
        self, body: bytes, watch: _Watch, budget: float, end: float, *, again: bool
    ) -> Reply:
        extensions = {
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), budget),
            "trace": watch,
        }
        give_up_at.set(end)
        post = self._engine.post_anew if again else self._engine.post
        with post(body, extensions) as (status, headers, content):
            end = min(end, time.monotonic() + BODY_TIME)
            give_up_at.set(end)
            return Reply(status, headers, _beginning(content, end))

    def _budget(self) -> float:
        """Return the seconds that this request may take."""
        deadline = self.deadline
        if deadline is None:
            return self._timeout
        return max(min(self._timeout, deadline - time.monotonic()), 0.01)


class _Engine(Protocol):
    """Post one body."""

    def post(
        self, body: bytes, extensions: dict[str, Any]
    ) -> AbstractContextManager[_Answered]: ...

    def post_anew(
        self, body: bytes, extensions: dict[str, Any]
    ) -> AbstractContextManager[_Answered]: ...

    def close(self) -> None: ...


class _Pool:
    """Post through httpcore, the engine of httpx.

    httpx's client writes a line to the application's log for every request, and gives no
    way to bound a request as a whole: an ingest that sends a byte now and then would keep
    a thread for as long as it likes.
    """

    def __init__(self, url: httpx.URL, headers: dict[str, str], most: int) -> None:
        self._url = _raw(url)
        self._headers = [
            (b"Host", url.netloc),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ]
        tls_settings(ssl.SSLContext)  # what is wrong with them is to be known now
        # Made by the first send. gevent may patch after an application has been imported, as
        # under gunicorn with --preload: a lock of before holds up a whole process of greenlets.
        self._made: dict[int, httpcore.ConnectionPool] = {}  # by how many connections are kept
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._making = threading.RLock()
        self._network = TimedBackend()
        self._most = most
        self._make = partial(
            httpcore.ConnectionPool,
            proxy=_proxy_for(url),
            max_connections=most + 1,  # one for an exiting thread
            keepalive_expiry=KEEP_ALIVE,
            network_backend=self._network,
        )

    def _pool(self, kept: int) -> httpcore.ConnectionPool:
        with self._making:
            if kept not in self._made:
                settings = tls_settings(ssl.SSLContext)
                made = self._make(max_keepalive_connections=kept, ssl_context=settings)
                self._made.setdefault(kept, made)
            return self._made[kept]

    def post(self, body: bytes, extensions: dict[str, Any]) -> AbstractContextManager[_Answered]:
        return self._posted(body, extensions, self._most)

    def post_anew(
        self, body: bytes, extensions: dict[str, Any]
    ) -> AbstractContextManager[_Answered]:
        """Post on a connection that is new: where one is stale, the others are likely to be."""
        return self._posted(body, extensions, 0)

    @contextmanager
    def _posted(self, body: bytes, extensions: dict[str, Any], kept: int) -> Iterator[_Answered]:
        length = (b"Content-Length", b"%d" % len(body))
        request = httpcore.Request(
            b"POST",
            self._url,
            headers=[*self._headers, length],
            content=body,
            extensions=extensions,
        )
        response = self._pool(kept).handle_request(request)
        try:
            headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in response.headers
            }
            yield response.status, headers, response.iter_stream()
        finally:
            response.close()

    def close(self) -> None:
        # First, and all at once: the pool closes one after the other, and does not know those
        # that are being made.
        self._network.close()
        for made in self._made.values():
            made.close()


class _Client:
    """Post through a client that the application has made, which stays the application's."""

    def __init__(self, client: Any, url: httpx.URL, headers: dict[str, str]) -> None:
        self._client = client
        self._url = str(url)
        self._headers = headers

    @contextmanager
    def post(self, body: bytes, extensions: dict[str, Any]) -> Iterator[_Answered]:
        request = self._client.build_request(
            "POST", self._url, headers=self._headers, content=body, extensions=extensions
        )
        response = self._client.send(request, stream=True, follow_redirects=False)
        try:
            # A client on a mock transport hands out responses whose body was read before.
            was_read = response.is_stream_consumed
            content = response.iter_bytes() if was_read else response.iter_raw()
            yield response.status_code, response.headers, content
        finally:
            response.close()

    # Whether its connections are kept is the application's decision.
    post_anew = post

    def close(self) -> None:
        pass


def _reaches_network(client: Any) -> bool:
    """Tell whether a ready client has the network behind it, not a mock of the application's."""
    return type(getattr(client, "_transport", None)).__name__ == "HTTPTransport"


class _Watch:
    """Notice whether a request went out on a connection of an earlier one."""

    def __init__(self) -> None:
        self._begun = self._connected = False

    def __call__(self, name: str, info: Any) -> None:
        """Hear of a step, through the trace extension of httpcore."""
        self._begun = True
        # That of a proxy that speaks SOCKS is another step than an ordinary connection's.
        if name.endswith((".connect_tcp.started", ".connect_unix_socket.started")):
            self._connected = True

    @property
    def reused(self) -> bool:
        """Tell it, once the request is over. What has no steps has no connection either."""
        return self._begun and not self._connected


def _is_stale(error: Exception) -> bool:
    return any(kind.__name__ in _STALE for kind in type(error).__mro__)


@cache
def tls_settings(kind: type[ssl.SSLContext]) -> ssl.SSLContext:
    """Make the TLS settings once: reading the certificates takes a while.

    A forked child uses them too; they hold no connection.

    Args:
        kind: The class that `ssl` makes them of: gevent puts one of its own there, and with
            settings of before a request would hold up all greenlets.
    """
    return httpx.create_ssl_context()


def _beginning(content: Iterable[bytes], end: float) -> str:
    """Read the beginning of a reply's body, within some time.

    A body that breaks off takes nothing away from the status, which has been said by then:
    an event that the ingest took is not sent again.
    """
    read = bytearray()
    with suppress(Exception):  # httpcore's, httpx's or those of its successors
        for chunk in content:
            read += chunk
            if len(read) >= MAX_REPLY or time.monotonic() >= end:
                break
    return bytes(read[:MAX_REPLY]).decode("utf-8", "replace")


def _raw(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def named_proxy(scheme: str, host: str) -> str | None:
    """Return the URL of the proxy that the environment names for a host, as `urllib` reads it."""
    if proxy_bypass(host) or is_loopback(host):
        return None
    proxies = getproxies()
    named = proxies.get(scheme) or proxies.get("all")
    # Many write the address alone, as curl allows.
    return f"http://{named}" if named and "://" not in named else named


def _proxy_for(url: httpx.URL) -> httpcore.Proxy | None:
    named = named_proxy(url.scheme, url.host)
    if not named:
        return None
    proxy = httpx.Proxy(named)
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ImportError(f"the proxy {proxy.url.host} needs a package: pip install 'httpx[socks]'")
    return httpcore.Proxy(_raw(proxy.url), auth=proxy.raw_auth)
