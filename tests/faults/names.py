"""Names that lead nowhere, and addresses of which one is dead."""

from __future__ import annotations

import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.faults.fault import HARMLESS, TIMES_OUT, Fault
from tests.faults.site import FaultyIngest, Site, blackhole

NAME = "ingest.localhost"
SERVFAIL, NXDOMAIN = 2, 3
A = 1


class Resolver:
    """Stand in for the system's resolver, in a row's own process.

    Attributes:
        addresses: What the name leads to.
        error: What asking leads to in place of that.
    """

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.error: socket.gaierror | None = None
        self._real = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != NAME:
            return self._real(host, port, *args, **options)
        if self.error:
            raise self.error
        found = (self._real(each, port, *args, **options) for each in self.addresses)
        return [info for infos in found for info in infos]


class NamedSite(Site):
    """An ingest that is known by its name, and what tells the name's addresses."""

    def __init__(self, ingest: FaultyIngest, resolver: Any) -> None:
        super().__init__(ingest, f"http://{NAME}:{ingest.port}/track")
        self.resolver = resolver


def _named(*addresses: str) -> Callable[[], AbstractContextManager[Site]]:
    @contextmanager
    def site() -> Iterator[Site]:
        resolver = Resolver(*addresses)
        with FaultyIngest() as ingest:
            socket.getaddrinfo = resolver
            yield NamedSite(ingest, resolver)

    return site


@contextmanager
def _asking(site: Site, failing: Any) -> Iterator[None]:
    assert isinstance(site, NamedSite)
    site.resolver.error = failing
    site.ingest.close_idle()  # who is connected needs no name
    yield
    site.resolver.error = None


@contextmanager
def _ipv6_dead(site: Site) -> Iterator[None]:
    with blackhole("::1", site.ingest.port):
        yield


class NameServer:
    """A DNS server for one name, on port 53 of a network of its own.

    Attributes:
        error: The code of RFC 1035 to answer with, or `SILENT`.
    """

    SILENT = -1

    def __init__(self) -> None:
        self.error: int | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                question, asker = self._socket.recvfrom(512)
                if self.error != self.SILENT:
                    self._socket.sendto(self._answer(question), asker)

    def _answer(self, question: bytes) -> bytes:
        end = question.index(b"\0", 12) + 5  # the name, its type and its class
        (kind,) = struct.unpack("!H", question[end - 4 : end - 2])
        known = kind == A and not self.error
        head = question[:2] + struct.pack("!HHHHH", 0x8180 | (self.error or 0), 1, known, 0, 0)
        address = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 0, 4) + socket.inet_aton("127.0.0.1")
        return head + question[12:end] + (address if known else b"")


@contextmanager
def _with_name_server() -> Iterator[Site]:
    """Have the system's own resolver ask a server of ours; in namespaces of our own."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as folder, FaultyIngest() as ingest:
        files = {
            "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
            "nsswitch.conf": "hosts: dns\n",
        }
        for name, text in files.items():
            written = Path(folder) / name
            written.write_text(text)
            subprocess.run(["mount", "--bind", written, f"/etc/{name}"], check=True)
        yield NamedSite(ingest, NameServer())


def _failing(error: Any) -> Callable[[Site], AbstractContextManager[None]]:
    return lambda site: _asking(site, error)


_AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
_NONE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")

FAULTS = (
    Fault("DNS: temporary failure", _failing(_AGAIN), _named("127.0.0.1")),
    Fault("DNS: no such name", _failing(_NONE), _named("127.0.0.1")),
    Fault(
        "DNS: the server fails",
        _failing(SERVFAIL),
        _with_name_server,
        namespace=True,
    ),
    Fault(
        "DNS: the server knows no such name",
        _failing(NXDOMAIN),
        _with_name_server,
        namespace=True,
    ),
    Fault(
        "DNS: the server never answers",
        _failing(NameServer.SILENT),
        _with_name_server,
        goal=TIMES_OUT,
        namespace=True,
    ),
    Fault(
        "IPv6 is dead, IPv4 lives",
        _ipv6_dead,
        _named("::1", "127.0.0.1"),
        goal=HARMLESS,
        timeout=4,
        from_start=True,
        ipv6=True,
    ),
)
