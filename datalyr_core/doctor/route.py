"""Checks of the way to the ingest: proxy, names, connections."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from datalyr_core.delivery.http import named_proxy
from datalyr_core.doctor.bounded import bounded
from datalyr_core.doctor.findings import Finding, error, ok, warning
from datalyr_core.options import is_loopback

_FAMILIES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}
# Most containers have IPv4 alone, while most names have an address of each family.
_NO_SUCH_FAMILY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

Address = tuple[socket.AddressFamily, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Name a server.

    Attributes:
        scheme: How it is spoken to.
        host: Its name or address.
        port: Its port.
        login: User and password, if the URL has them.
    """

    scheme: str
    host: str
    port: int
    login: tuple[str, str] | None = None

    def __str__(self) -> str:
        """Show it, without the login."""
        return f"{self.host} port {self.port}"


def place_of(url: str) -> Place:
    """Read a place out of a URL.

    Raises:
        ValueError: The URL names none.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in _PORTS:
        raise ValueError(f"{parts.scheme}://{parts.hostname or ''} names no server")
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return Place(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], login)


def find_proxy(target: Place) -> tuple[Place | None, Finding]:
    """Find the proxy that leads to a place, as the delivery does."""
    named = named_proxy(target.scheme, target.host)
    if not named:
        return None, ok("proxy", f"none for {target.host}")
    try:
        proxy = place_of(named)
    except ValueError as problem:
        return None, error(
            "proxy",
            f"the environment names one that cannot be used: {problem}",
            "Write HTTPS_PROXY as http://host:port, or name the ingest in NO_PROXY.",
        )
    return proxy, ok("proxy", f"{proxy} leads to {target.host} (HTTPS_PROXY, ALL_PROXY, NO_PROXY)")


def look_up(place: Place, timeout: float) -> tuple[list[Address], Finding]:
    """Look a name up."""
    try:
        found = bounded(
            lambda: socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM), timeout
        )
    except (OSError, UnicodeError) as problem:
        slow = isinstance(problem, TimeoutError)
        seen = f"no answer in {timeout:g} s" if slow else str(problem)
        return [], error(
            "dns",
            f"{place.host} cannot be looked up: {seen}",
            "Check the name for a typing error, and the machine's resolver (/etc/resolv.conf).",
        )
    addresses: list[Address] = [(family, address) for family, _, _, _, address in found]
    listed = ", ".join(f"{_FAMILIES.get(family, '?')} {at[0]}" for family, at in addresses)
    return addresses, ok("dns", f"{place.host} is {listed}")


def connect(place: Place, addresses: Sequence[Address], timeout: float) -> Iterator[Finding]:
    """Connect to the first address of each family, since one may be dead while the other lives."""
    first = dict(reversed(addresses))
    failed: list[tuple[str, OSError]] = []
    alive: list[str] = []
    for family, address in first.items():
        begun = time.monotonic()
        name = _FAMILIES.get(family, "?")
        try:
            _knock(family, address, timeout)
        except OSError as problem:
            failed.append((f"{name} {address[0]}: {_why(problem, timeout)}", problem))
        else:
            alive.append(f"{name} in {(time.monotonic() - begun) * 1000:.0f} ms")
    if alive:
        yield ok("tcp", f"{place} answers, {', '.join(alive)}")
    for seen, why in failed:
        yield _partly_dead(place, seen, why) if alive else _dead(place, seen)


def _partly_dead(place: Place, seen: str, why: OSError) -> Finding:
    if why.errno in _NO_SUCH_FAMILY:
        return ok("tcp", f"this machine has no way to {seen}, which costs no time")
    return warning(
        "tcp",
        f"{place} does not answer at {seen}",
        "New connections may first wait for it in vain: mend that route, or let the resolver "
        "prefer the other (/etc/gai.conf).",
    )


def _dead(place: Place, seen: str) -> Finding:
    todo = (
        "Start what is to listen there (such as `datalyr inspect`), or correct host."
        if is_loopback(place.host)
        else "Check the port, the firewall's rules for outgoing connections and whether a proxy is "
        "needed here (HTTPS_PROXY)."
    )
    return error("tcp", f"{place} does not answer at {seen}", todo)


def _knock(family: int, address: Any, timeout: float) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(timeout)
        knocking.connect(address)


def _why(problem: OSError, timeout: float) -> str:
    if isinstance(problem, TimeoutError):
        return f"no answer in {timeout:g} s"
    return problem.strerror or str(problem)
