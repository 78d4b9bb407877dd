"""The status port: whether a relay is well, and what it counts, over HTTP."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

import orjson

logger = logging.getLogger("datalyr.relay")

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
SLOW = 5.0  # seconds after which a client that says nothing is left alone

# What only grows, and what goes up and down, as Prometheus wants to know it.
COUNTERS = ("messages", "received", "delivered", "retried", "dead", "returned", "known")
GAUGES = ("held_messages", "waiting", "in_flight", "uptime", "seconds_since_delivery")

Page = tuple[HTTPStatus, str, bytes]


@contextmanager
def status_server(
    address: tuple[str, int],
    status: Callable[[], Mapping[str, Any]],
    problems: Callable[[], list[str]],
) -> Iterator[int]:
    """Answer /health, /status and /metrics for the length of a block.

    Args:
        address: Where to listen; port 0 is any that is free.
        status: Tells what there is to count.
        problems: Tells why the relay is not well.

    Returns:
        The port.

    Raises:
        OSError: It cannot listen there.
    """

    def health() -> Page:
        found = problems()
        status_code = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
        return status_code, JSON, orjson.dumps({"healthy": not found, "problems": found})

    pages: dict[str, Callable[[], Page]] = {
        "/health": health,
        "/status": lambda: (HTTPStatus.OK, JSON, orjson.dumps(status())),
        "/metrics": lambda: (HTTPStatus.OK, PROMETHEUS, metrics(status(), not problems())),
    }
    with _Server(address, pages) as server:
        thread = threading.Thread(target=server.serve_forever, name="datalyr-status", daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def metrics(status: Mapping[str, Any], healthy: bool) -> bytes:
    """Write a status as Prometheus reads it."""
    lines = []
    for name in COUNTERS:
        full = f"datalyr_relay_{name}_total"
        lines += [f"# TYPE {full} counter", f"{full} {status[name]}"]
    gauges = {name: status[name] for name in GAUGES if status[name] is not None}
    gauges["connected"] = int(status["connected"])
    gauges["gate_closed"] = int(status["gate"] == "closed")
    gauges["healthy"] = int(healthy)
    for name, value in gauges.items():
        full = f"datalyr_relay_{name}"
        lines += [f"# TYPE {full} gauge", f"{full} {value}"]
    full = "datalyr_relay_answers_total"
    lines.append(f"# TYPE {full} counter")
    lines += [f'{full}{{status="{name}"}} {n}' for name, n in sorted(status["by_status"].items())]
    return ("\n".join(lines) + "\n").encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: Mapping[str, Callable[[], Page]]) -> None:
        self.pages = pages
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which may take its time."""
        TCPServer.server_bind(self)

    def handle_error(self, request: object, client_address: object) -> None:
        """Write no traceback for a client that has left."""
        logger.debug("a client of the status port has failed")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = SLOW

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self._answer(HTTPStatus.NOT_FOUND, JSON, b'{"pages":["/health","/status","/metrics"]}')
        else:
            self._answer(*page())

    def _answer(self, code: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *arguments: object) -> None:
        """Write no line for each request; probes come every few seconds."""
