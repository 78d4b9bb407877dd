"""Datalyr as a contestant: the client itself, in its arrangements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from benchmarks.programs.contestants import PROPERTIES, Contestant
from datalyr_core import Datalyr, Reply

NAME = "Purchase Completed"


class Nowhere:
    """A transport that takes everything at once."""

    def send(self, body: bytes) -> Reply:
        return Reply(200)


def client(port: int = 0, **options: Any) -> Datalyr:
    """Make a client of a sink on this machine, or of none."""
    if port:
        options["host"] = f"http://127.0.0.1:{port}/track"
    elif "broker" not in options:
        options.setdefault("transport", Nowhere())
    return Datalyr("dk_bench", **{"max_queue_size": 10_000, **options})


def contestant(made: Datalyr, track: Callable[[], object] | None = None) -> Contestant:
    """Let a client be a contestant, with another call than its own if there is one."""
    return Contestant(
        track or (lambda: made.track("user_123", NAME, PROPERTIES)),
        made.flush,
        made.close,
        lambda: made.stats.delivered,
    )


def make(name: str, port: int) -> Contestant:
    """Make a contestant with the options in its name, as in `datalyr?concurrency=100`."""
    return contestant(client(port, **dict(parse_qsl(urlsplit(name).query))))
