"""Real servers as child processes, on a socket that is listening before they start."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

GUNICORN = ("gunicorn", "--bind", "fd://{fd}", "--log-level", "critical")
GTHREAD = (*GUNICORN, "--worker-class", "gthread", "--threads", "16")
UVICORN = ("uvicorn", "--fd", "{fd}", "--log-level", "critical")

SERVED = "tests.behaviour.sites.served"
COMMANDS = {
    "flask": (*GTHREAD, f"{SERVED}:flask()"),
    "django-wsgi": (*GTHREAD, f"{SERVED}:django_wsgi()"),
    "django-asgi": (*UVICORN, "--factory", f"{SERVED}:django_asgi"),
    "starlette": (*UVICORN, "--factory", f"{SERVED}:starlette"),
    "fastapi": (*UVICORN, "--factory", f"{SERVED}:fastapi"),
}


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    port: int
    listener: socket.socket
    process: subprocess.Popen[bytes]

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, timeout: float = 20
    ) -> tuple[int, str]:
        """Get a page; it waits until the server has started."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def terminate(self, timeout: float = 20) -> int:
        """End it by SIGTERM; returns its exit status."""
        self.listener.close()  # with it open here too, nobody would refuse connections
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


@contextmanager
def serving(command: tuple[str, ...], host: str, **options: object) -> Iterator[Server]:
    """Run a server.

    Args:
        command: The module and its arguments, with `{fd}` for the listening socket.
        host: The ingest that its site delivers to.
        **options: Further options of its client.
    """
    options = {"api_key": "dk_test", "host": host, **options}
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        fd = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=fd) for part in command)],
            pass_fds=[fd],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.behaviour.sites.django_settings",
                **{f"DATALYR_{name.upper()}": str(value) for name, value in options.items()},
            },
        )
        try:
            yield Server(listener.getsockname()[1], listener, process)
        finally:
            process.kill()
            process.wait()
