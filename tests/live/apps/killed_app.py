"""A WSGI application that says which event it tracked, and in which process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from datalyr_core import Datalyr

client = Datalyr.from_env()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    event_id = client.track(event="Hit", anonymous_id="anon_1")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{event_id} {os.getpid()}".encode()]
