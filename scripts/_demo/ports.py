"""The ports: fixed ones for people, free ones for a check."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack

from scripts._demo.waiting import DemoError

HOST = "127.0.0.1"
FIXED = {"inspector": 8765, "django": 8001, "flask": 8002, "fastapi": 8003}
FREE = dict.fromkeys(FIXED, 0)


def checked(ports: Mapping[str, int]) -> dict[str, int]:
    """Make sure that every port can be listened on; 0 becomes a free one.

    All are held at once, so that none is given out twice.
    """
    with ExitStack() as held:
        return {
            name: held.enter_context(_listener(name, port)).getsockname()[1]
            for name, port in ports.items()
        }


def _listener(name: str, port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        why = "in use" if in_use else f"not to be had ({os.strerror(error.errno or 0)})"
        advice = f"stop what uses it, or choose another with --{name} PORT"
        raise DemoError(f"port {port} (for {name}) is {why}: {advice}") from error
