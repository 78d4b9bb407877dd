"""The network under the HTTP engine, with one bound on all that a request does on it."""

from __future__ import annotations

import ssl
import threading
import time
from typing import Any

import httpcore


class _Clock(threading.local):
    """Know how much time this thread has, on the monotonic clock."""

    deadline: float | None = None  # of all that it sends
    give_up_at = 0.0  # of the request that is under way

    def left(self, timeout: float | None) -> float:
        """Return the seconds that are left, at most some time-out."""
        left = max(self.give_up_at - time.monotonic(), 0.001)
        return left if timeout is None else min(left, timeout)


clock = _Clock()


class TimedBackend(httpcore.NetworkBackend):
    """Bound all that a request does on the network together; httpcore bounds each step."""

    def __init__(self) -> None:
        """Stand before the ordinary backend."""
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any
    ) -> httpcore.NetworkStream:
        """Connect."""
        return _TimedStream(
            self._real.connect_tcp(host, port, clock.left(timeout), *args, **options)
        )


class _TimedStream(httpcore.NetworkStream):
    """Give each step on a connection the time that its request has left."""

    def __init__(self, real: httpcore.NetworkStream) -> None:
        self._real = real

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._real.read(max_bytes, clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._real.write(buffer, clock.left(timeout))

    def close(self) -> None:
        self._real.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _TimedStream(self._real.start_tls(ssl_context, server_hostname, clock.left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._real.get_extra_info(info)
