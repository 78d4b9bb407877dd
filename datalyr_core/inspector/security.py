"""Keep other web sites out: their pages run in the same browser as this one.

A page anywhere can make the browser send requests to loopback. Its own host name may even resolve
to loopback (DNS rebinding), so names are checked as well as origins.
"""

from __future__ import annotations

from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .responses import failure

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Refuse what comes from elsewhere, and give each answer its security headers.

    Args:
        app: The application behind it.
        host: The host that the server is bound to.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._host = host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        app = failure(403, refusal) if refusal else self._app
        await app(scope, receive, send_guarded)

    def _refusal(self, method: str, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not is_known_host(host, self._host):
            return f"the host {host[:80]!r} is not this inspector: use 127.0.0.1 or localhost"
        if method not in SAFE_METHODS and origin not in (None, f"http://{host}"):
            return "a page of another origin may not change anything here"
        return None


def is_known_host(header: str, bound: str) -> bool:
    """Tell whether a Host header names this server.

    Args:
        header: The header, with or without a port.
        bound: The host that the server is bound to.

    Returns:
        True for loopback names and the bound host, and for any address when all are bound.
    """
    name = _without_port(header).lower()
    if name in ("localhost", bound.lower()) or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    # An address cannot be rebound, only a name can.
    return address.is_loopback or bound in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]
