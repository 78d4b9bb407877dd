"""The ingest over HTTP, by httpx. The only module that knows an HTTP library."""

from __future__ import annotations

# A fork in the middle of an import leaves the child with a lock that nobody releases. What
# the sender's threads would import is therefore imported here, in the main thread.
import encodings.idna  # noqa: F401 - by a connection to a host name
import ssl
import time
from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore  # noqa: F401 - by httpx, when it makes a transport
import httpx

from datalyr_core.config import Config
from datalyr_core.delivery.base import Reply
from datalyr_core.errors import TransportError
from datalyr_core.event import LIBRARY
from datalyr_core.options import is_loopback
from datalyr_core.version import __version__

MAX_REPLY = 65_536  # bytes of a reply that are read; nobody needs more to understand it
KEEP_ALIVE = 30.0  # seconds that an idle connection is kept: less than common servers keep it

# What a connection that the server has closed meanwhile does when it is used.
_STALE = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


class HttpTransport:
    """Post each event on a kept-alive connection.

    It uses httpx's transport interface, not its client: the client writes a line to the
    application's log for every request.
    """

    def __init__(self, config: Config) -> None:
        """Make the connection pool; connections are made by the first send."""
        self._url = httpx.URL(config.host)
        self._timeout = config.timeout
        self._client = config.http_client
        self._pool = httpx.HTTPTransport(
            verify=_tls(),
            limits=httpx.Limits(
                max_connections=config.concurrency + 1,  # one for an exiting thread
                max_keepalive_connections=config.concurrency,
                keepalive_expiry=KEEP_ALIVE,
            ),
            proxy=_proxy_for(self._url),
        )
        self._headers = {
            "X-API-Key": config.api_key or "",
            "Content-Type": "application/json",
            "User-Agent": f"{LIBRARY}/{__version__}",
            "Accept": "application/json",
            # The reply is read raw: decoding a small one could make it a large one.
            "Accept-Encoding": "identity",
        }
        self.deadline: float | None = None  # of the process's exit, on the monotonic clock

    def send(self, body: bytes) -> Reply:
        """Post a body, once more at once if a kept connection turns out to be dead.

        Raises:
            TransportError: No answer came; it shows httpx's error.
        """
        fresh = _Watch()
        try:
            return self._exchange(body, fresh)
        except _STALE as error:
            if fresh.connected:
                raise TransportError(_shown(error)) from error
        except Exception as error:  # also of a foreign client, which may raise anything
            raise TransportError(_shown(error)) from error
        try:
            return self._exchange(body, fresh)
        except Exception as error:
            raise TransportError(_shown(error)) from error

    def close(self) -> None:
        """Close the connections that are ours."""
        self._pool.close()

    def _exchange(self, body: bytes, watch: Callable[[str, Any], None]) -> Reply:
        budget = self._budget()
        give_up_at = time.monotonic() + budget
        extensions = {
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), budget),
            "trace": watch,
        }
        response = self._open(body, extensions)
        try:
            return Reply(response.status_code, response.headers, _beginning(response, give_up_at))
        finally:
            response.close()

    def _open(self, body: bytes, extensions: dict[str, Any]) -> httpx.Response:
        if self._client is None:
            request = httpx.Request(
                "POST", self._url, headers=self._headers, content=body, extensions=extensions
            )
            return self._pool.handle_request(request)
        request = self._client.build_request(
            "POST", str(self._url), headers=self._headers, content=body, extensions=extensions
        )
        response: httpx.Response = self._client.send(request, stream=True, follow_redirects=False)
        return response

    def _budget(self) -> float:
        """Return the seconds that this request may take."""
        if self.deadline is None:
            return self._timeout
        return max(min(self._timeout, self.deadline - time.monotonic()), 0.01)


@cache
def _tls() -> ssl.SSLContext:
    """Make the TLS settings once: reading the certificates takes a while.

    A forked child uses them too; they hold no connection.
    """
    return httpx.create_ssl_context()


class _Watch:
    """Notice whether a request made a new connection, through httpcore's trace extension."""

    connected = False

    def __call__(self, name: str, info: Any) -> None:
        if name == "connection.connect_tcp.started":
            self.connected = True


def _beginning(response: httpx.Response, give_up_at: float) -> str:
    """Read the beginning of a reply's body, within the time that the request has."""
    read = bytearray()
    # A client on a mock transport hands out responses whose body was read before.
    for chunk in response.iter_bytes() if response.is_stream_consumed else response.iter_raw():
        read += chunk
        if len(read) >= MAX_REPLY or time.monotonic() >= give_up_at:
            break
    return bytes(read[:MAX_REPLY]).decode("utf-8", "replace")


def _proxy_for(url: httpx.URL) -> str | None:
    """Find the proxy that the environment names for a URL, as `urllib` reads it."""
    if proxy_bypass(url.host) or is_loopback(url.host):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
