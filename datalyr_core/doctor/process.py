"""Checks of the process that the doctor runs in: threads, patches, clients."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

from datalyr_core import lifecycle, per_thread, uwsgi_threads
from datalyr_core.doctor.findings import Finding, ok, warning

PATCH_FIRST = (
    "Call gevent.monkey.patch_all() before anything else is imported; under gunicorn leave "
    "preload_app off."
)


def check_process() -> Iterator[Finding]:
    """Check what only a process itself can tell; a server's own has more to tell than a shell's."""
    yield from check_uwsgi()
    yield from check_gevent()
    yield from check_clients()


def check_uwsgi() -> Iterator[Finding]:
    """Check that uWSGI lets threads run, where the process is one of its workers."""
    if uwsgi_threads.are_off():
        seen = "this worker's threads stand still between requests, so that events wait"
        yield warning("uwsgi", seen, f"Start uWSGI with {uwsgi_threads.FLAG}.")
    elif "uwsgi" in sys.modules:
        yield ok("uwsgi", "this worker runs threads")


def check_gevent() -> Iterator[Finding]:
    """Check that gevent's patches came before our modules took what they patch."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return
    if per_thread.LOCAL is threading.local:
        yield ok("gevent", "patched before Datalyr was imported")
    else:
        yield warning("gevent", "Datalyr was imported before gevent patched threads", PATCH_FIRST)


def check_clients() -> Iterator[Finding]:
    """Check that no two clients of this process have the same key."""
    keys = Counter(client.config.api_key for client in lifecycle.clients())
    for number in keys.values():
        if number > 1:
            yield warning(
                "clients",
                f"this process has {number} clients with the same key",
                "Make one client and share it (client=...): each has threads and a queue.",
            )
