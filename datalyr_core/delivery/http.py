"""The ingest over HTTP: what all engines have in common, and those of httpx."""

from __future__ import annotations

# A fork in the middle of an import leaves the child with a lock that nobody releases. What
# the sender's threads would import is therefore imported here, in the main thread.
import encodings.idna  # noqa: F401 - by a connection to a host name
import logging
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, NoReturn, Protocol
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from datalyr_core import guard
from datalyr_core.config import Config
from datalyr_core.delivery.base import Reply, stale_until
from datalyr_core.delivery.connection import (
    BODY_TIME,
    KEEP_ALIVE,
    Connection,
    H11Reader,
    Reader,
    Request,
    beginning,
)
from datalyr_core.delivery.network import TimedBackend, give_up_at
from datalyr_core.errors import SendRefused, TransportError
from datalyr_core.event import LIBRARY
from datalyr_core.options import is_loopback
from datalyr_core.per_thread import PerThread
from datalyr_core.version import __version__
from datalyr_core.warn_once import warn_once

logger = logging.getLogger("datalyr")

# What using a connection raises that the server has closed meanwhile. By name: httpcore,
# httpx and their successors have a class each.
_STALE = {"RemoteProtocolError", "ReadError", "WriteError"}


class Stale(Exception):
    """Tell that a request went out on a connection of an earlier one, which was dead.

    Attributes:
        error: What the engine says of it.
    """

    def __init__(self, error: Exception) -> None:
        """Hold the engine's error."""
        super().__init__()
        self.error = error


class Engine(Protocol):
    """Post bodies to one URL. Called from several threads at once."""

    def post(self, body: bytes, end: float, *, again: bool = False) -> Reply:
        """Post one body.

        Args:
            body: The body.
            end: When the answer must be there, on the monotonic clock.
            again: It is sent again, and now on a new connection.

        Raises:
            Stale: It may be posted again at once.
            Exception: No answer came in time.
        """

    def close(self) -> None:
        """End what is under way, and send nothing more."""


class HttpTransport:
    """Post each event on a kept-alive connection."""

    def __init__(
        self,
        config: Config,
        engine: Callable[[httpx.URL, dict[str, str], Config], Engine] | None = None,
    ) -> None:
        """Make the engine; connections are made by the first send.

        Args:
            config: The configuration.
            engine: Makes the engine out of URL, headers and configuration; httpx's by default.
        """
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
        self._engine = (engine or _engine_of_httpx)(url, headers, config)
        guarded = client is None or _reaches_network(client)
        self._elsewhere = guard.host_elsewhere(config.host) if guarded else None
        self._timeout = config.timeout
        self._most_kept = config.concurrency
        self._deadline: PerThread[float] = PerThread()
        self._stale_at: deque[float] = deque(maxlen=config.concurrency + 1)  # when the last were
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
            try:
                return self._engine.post(body, begun + budget, again=again)
            except Exception as error:  # also of a foreign client, which may raise anything
                in_time = time.monotonic() < stale_until(begun, budget)
                # Closing takes the connection away from a request that is under way.
                if again or self._closed or not (in_time and isinstance(error, Stale)):
                    _fail(error)
            again = True
            self._note_stale()

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

    def _budget(self) -> float:
        """Return the seconds that this request may take."""
        deadline = self.deadline
        if deadline is None:
            return self._timeout
        return max(min(self._timeout, deadline - time.monotonic()), 0.01)


def _engine_of_httpx(url: httpx.URL, headers: dict[str, str], config: Config) -> Engine:
    client = config.http_client
    return Pool(url, headers, config) if client is None else _Client(client, url, headers)


def _fail(error: Exception) -> NoReturn:
    if isinstance(error, Stale):
        error = error.error
    raise TransportError(f"{type(error).__name__}: {error}"[:500]) from error


class Pool:
    """Post through httpcore, the engine of httpx, on connections that are kept here.

    httpx's client writes a line to the application's log for every request, and gives no
    way to bound a request as a whole: an ingest that sends a byte now and then would keep
    a thread for as long as it likes. And httpcore's own pool, which serves many hosts and
    queues of requests, takes as long as all the rest of a request.
    """

    reader: type[Reader] = H11Reader

    def __init__(self, url: httpx.URL, headers: dict[str, str], config: Config) -> None:
        """Read the environment: what is wrong there is to be known now."""
        self._proxy = proxy = _proxy_for(url)
        self._request = _request(url, headers, is_passed_on=bool(proxy) and url.scheme == "http")
        self._most = config.concurrency
        self._idle: deque[Connection] = deque()  # the one that was in use last is the next
        self._is_secure = url.scheme == "https" or (proxy and proxy.url.scheme == b"https")
        self._tls_settings()
        # Made by the first send. gevent may patch after an application has been imported, as
        # under gunicorn with --preload: a lock of before holds up a whole process of greenlets.
        self._made: httpcore.ConnectionPool | None = None
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._making = threading.RLock()
        self._network = TimedBackend()
        self._make = partial(
            httpcore.ConnectionPool,
            proxy=proxy,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=self._network,
        )

    def post(self, body: bytes, end: float, *, again: bool = False) -> Reply:
        """Post one body; see `Engine`."""
        give_up_at.set(end)
        kept = None if again else self._alive()
        connection = kept or self._new()
        try:
            reply = connection.post(body, end)
        except Exception as error:
            connection.close()
            # A server that has begun to answer had not closed it before.
            if kept and not connection.was_answered and _is_stale(error):
                raise Stale(error) from error
            raise
        except BaseException:  # this thread is made to end
            connection.close()
            raise
        self._keep(connection)
        return reply

    def close(self) -> None:
        """Close every connection, also those that are in use or being made."""
        self._network.close()
        self._idle.clear()

    def _alive(self) -> Connection | None:
        """Return the connection that was in use last, if the server has not closed it."""
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if not connection.has_expired:
                    return connection
                connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        """Keep a connection if it can be used again, and close those that nobody uses."""
        connection.used = now = time.monotonic()
        if connection.is_idle and len(self._idle) < self._most:
            self._idle.append(connection)
        else:
            connection.close()
        with suppress(IndexError):  # another thread may have taken the last one
            while self._idle[0].used < now - KEEP_ALIVE:
                self._idle.popleft().close()

    def _new(self) -> Connection:
        made = self._pool().create_connection(self._request.url.origin)
        return Connection(made, self._request, self.reader())

    def _pool(self) -> httpcore.ConnectionPool:
        """Return what makes connections: it knows proxies."""
        with self._making:
            settings = self._tls_settings()
            if self._proxy and self._proxy.url.scheme == b"https":
                self._proxy.ssl_context = settings
            made = self._made or self._make(ssl_context=settings)
            self._made = self._made or made
            return self._made

    def _tls_settings(self) -> ssl.SSLContext | None:
        """Return the settings of TLS, if there is any: the authorities take two megabytes."""
        return tls_settings(ssl.SSLContext) if self._is_secure else None


class _Client:
    """Post through a client that the application has made, which stays the application's."""

    def __init__(self, client: Any, url: httpx.URL, headers: dict[str, str]) -> None:
        self._client = client
        self._url = str(url)
        self._headers = headers

    def post(self, body: bytes, end: float, *, again: bool = False) -> Reply:
        budget = max(end - time.monotonic(), 0.01)
        watch = _Watch()
        extensions = {
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), budget),
            "trace": watch,
        }
        try:
            request = self._client.build_request(
                "POST", self._url, headers=self._headers, content=body, extensions=extensions
            )
            response = self._client.send(request, stream=True, follow_redirects=False)
        except Exception as error:
            if watch.reused and _is_stale(error):
                raise Stale(error) from error
            raise
        try:
            end = min(end, time.monotonic() + BODY_TIME)
            # A client on a mock transport hands out responses whose body was read before.
            was_read = response.is_stream_consumed
            content = response.iter_bytes() if was_read else response.iter_raw()
            return Reply(response.status_code, response.headers, beginning(content, end))
        finally:
            response.close()

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


def _request(url: httpx.URL, headers: dict[str, str], *, is_passed_on: bool) -> Request:
    raw = _raw(url)
    told = [
        (b"Host", url.netloc),
        *((name.encode(), value.encode()) for name, value in headers.items()),
    ]
    lines = [b"POST %b HTTP/1.1" % raw.target, *(b"%b: %b" % each for each in told), b""]
    written = b"\r\n".join(lines) + b"Content-Length: "
    return Request(raw, told, b"" if is_passed_on else written)


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
