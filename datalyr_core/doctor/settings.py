"""Checks of the configuration: the key, the host, and options that are not what they seem."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from datalyr_core import guard
from datalyr_core.config import Config
from datalyr_core.doctor.findings import Finding, error, ok, skipped, warning
from datalyr_core.errors import ConfigurationError, without_credentials
from datalyr_core.options import is_private

COPY = "Copy the key from Datalyr's settings again (dk_...)."
COPY_HERE = (
    "Copy the key into DATALYR_API_KEY. Where an application has it, name that: "
    "--app module:attribute, or manage.py datalyr doctor."
)
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collect what is said about options while configurations are made."""
    listener = _Listener()
    logger = logging.getLogger("datalyr.config")
    before = logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    try:
        yield listener.messages
    finally:
        logger.propagate = before
        logger.removeHandler(listener)


def check_heard(messages: list[str]) -> Iterator[Finding]:
    """Report what was said; of key and host, checks of their own say more."""
    for message in dict.fromkeys(messages):
        if not message.startswith(("api_key", "host")):
            yield warning("options", message, "Write a value that is in the range.")


def check_problem(problem: ConfigurationError, key_fix: str = COPY) -> Iterator[Finding]:
    """Report everything that keeps a configuration from being made.

    Args:
        problem: What is wrong.
        key_fix: What to do about a key that is missing or broken.
    """
    names = {"api_key": "key", "host": "host"}
    for name, what in problem.problems:
        fix = key_fix if name == "api_key" else "The README lists every option with its range."
        yield error(names.get(name, "options"), f"{name} {what}", fix)
    if not problem.problems:
        yield error("mount", str(problem), "Correct it and run this again.")


def check_config(config: Config) -> Iterator[Finding]:
    """Check what a valid configuration may still have wrong."""
    if not config.enabled:
        yield warning(
            "enabled", "the option is off: events are taken and dropped", "Turn it on to send."
        )
    yield check_key(config.api_key)
    yield check_host(config.host)


def check_key(key: str | None) -> Finding:
    """Check the key, without showing it."""
    if not key:
        return skipped("key", "none is set")
    if key[0] in _QUOTES or key[-1] in _QUOTES:
        return error("key", "it is set with quotes around it", "Remove the quotes.")
    if not key.startswith("dk_"):
        return warning("key", "it is set, but does not start with dk_", COPY)
    return ok("key", "set, starts with dk_")


def check_host(host: str) -> Finding:
    """Check the ingest's URL."""
    parts = urlsplit(host)
    shown = without_credentials(host)
    if parts.username is not None:
        return error(
            "host",
            f"{shown} is written with a user name before it, which is not sent",
            "Remove the part up to the @; the key is all that the ingest asks for.",
        )
    if not is_private(host):
        return warning(
            "host", f"{shown} is not https: anyone on the way reads the key", "Use https."
        )
    if parts.path in ("", "/") or parts.path.endswith("/"):
        return warning(
            "host",
            f"{shown} has {'no path' if parts.path in ('', '/') else 'a slash at its end'}",
            "Write the whole URL; it usually ends in /track.",
        )
    return ok("host", shown)


def check_environment(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Find variables that look like an option of ours and are none, which nobody would notice."""
    for name in sorted(environ):
        option = name.removeprefix("DATALYR_").lower()
        if name == guard.LIVE:
            if guard.is_live(environ):
                yield ok("guard", f"{name} is set: test runs may reach the real ingest")
        elif name.startswith("DATALYR_") and option not in Config.NAMES:
            close = difflib.get_close_matches(option, Config.NAMES, n=1, cutoff=0.75)
            if close:
                yield warning(
                    "options",
                    f"{name} is set and means nothing",
                    f"Write DATALYR_{close[0].upper()}.",
                )


class _Listener(logging.Handler):
    """Keep messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
