"""Whether uWSGI runs our threads: before 2.0.27 it did so only when it was told to."""

from __future__ import annotations

import logging
import sys
from typing import Any

from datalyr_core.warn_once import warn_once

logger = logging.getLogger("datalyr")

FLAG = "--enable-threads (enable-threads = true)"
_ALWAYS_SINCE = (2, 0, 27)
_NO = ("false", "no", "off", "0")  # how a file of uWSGI's says no


def are_uwsgis() -> bool:
    """Tell whether this process is uWSGI's, and so are its threads."""
    return _options() is not None


def are_off() -> bool:
    """Tell whether this process is uWSGI's and Python threads stand still between requests."""
    options = _options()
    if options is None or "threads" in options or turns_on(options.get("enable-threads", False)):
        return False
    return _version(getattr(sys.modules["uwsgi"], "version", b"")) < _ALWAYS_SINCE


def _options() -> Any:
    """Return the options that uWSGI was started with; None in a process of somebody else's."""
    # The server puts the module there; nothing of that name can be installed.
    return getattr(sys.modules.get("uwsgi"), "opt", None)


def turns_on(value: bytes | str | bool | None) -> bool:
    """Tell whether a value of the option `enable-threads` turns threads on; None is no value."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value is not False and str(value).strip().lower() not in _NO


def warn_if_off() -> None:
    """Say once that events wait for the next request, and which flag helps."""
    if are_off():
        warn_once(
            logger,
            "uWSGI runs without threads: events wait for later requests or for the exit, and are "
            f"lost in a crash; start it with {FLAG}",
        )


def _version(text: bytes) -> tuple[int, ...]:
    """Read a version; what is no number counts as a new one."""
    parts = text.decode("ascii", "replace").split(".")[:3]
    return tuple(int(part) if part.isdigit() else sys.maxsize for part in parts)
