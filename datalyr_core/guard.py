"""The guard: a test run reaches no ingest on another machine, unless it says so.

A project's tests use its settings, and those name the real ingest. `DATALYR_LIVE=1` says so.

What counts as a test run must never be true in production, where it would lose everything.
That pytest or unittest is imported means nothing, and neither does a variable such as
PYTEST_VERSION, which build files set to pin a version. What counts is a test runner that is
running: pytest says so through our plugin, tells its child processes of the test that is
under way (PYTEST_CURRENT_TEST), and runners are found on the main thread's stack.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from types import FrameType
from urllib.parse import urlsplit

from datalyr_core.options import is_loopback

LIVE = "DATALYR_LIVE"
REFUSAL = (
    "this is a test run and {host} is not on this machine; record events with the fixture "
    "datalyr_events, or set " + LIVE + "=1 to send them for real"
)

# Modules that run tests; their frames lie below every test's.
_RUNNERS = {"_pytest.config", "_pytest.main", "unittest.main", "unittest.runner", "unittest.suite"}
_NO = {"", "0", "false", "no", "off"}

_noted = False


def note_test_run() -> None:
    """Remember that this process runs tests.

    It is not forgotten: what a test has tracked may be sent when the process ends, long
    after the runner is through.
    """
    global _noted
    _noted = True


def look_for_runner() -> None:
    """Notice a test runner that is at work in the main thread.

    The stack is looked at only where a runner is imported at all. Who looks at it keeps the
    frames for a moment, and what was local to those that end meanwhile is finalized in the
    wrong thread: production is to have none of that.
    """
    if _noted or not any(name in sys.modules for name in _RUNNERS):
        return
    if _runs_tests(sys._current_frames().get(threading.main_thread().ident or 0)):
        note_test_run()


def host_elsewhere(url: str) -> str | None:
    """Return the host of a URL; None if it is this machine, which is no matter."""
    host = urlsplit(url).hostname or ""
    return None if is_loopback(host) else host


def broker_elsewhere(urls: str) -> str | None:
    """Return the host of a broker's URLs; None if all are this machine, or no machine at all."""
    for url in urls.split(";"):
        parts = urlsplit(url)
        if parts.scheme == "sqs" and not parts.hostname:
            return "Amazon SQS"
        if parts.hostname and not is_loopback(parts.hostname):
            return parts.hostname
    return None


def refusal(host: str) -> str | None:
    """Say why nothing is sent to a host elsewhere from here; None if it may be."""
    if "PYTEST_CURRENT_TEST" not in os.environ:
        look_for_runner()
        if not _noted:
            return None
    return None if is_live(os.environ) else REFUSAL.format(host=host)


def is_live(environ: Mapping[str, str]) -> bool:
    """Tell whether an environment says that test runs send for real."""
    return environ.get(LIVE, "").strip().lower() not in _NO


def _runs_tests(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") in _RUNNERS:
            return True
        frame = frame.f_back
    return False
