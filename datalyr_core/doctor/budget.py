"""Checks that what waits can be delivered in the time that a process has to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from datalyr_core.config import Config
from datalyr_core.doctor.findings import Finding, ok, skipped, warning
from datalyr_core.doctor.servers import GUNICORN, read_gunicorn, read_gunicorn_arguments

GUNICORN_DEFAULT = 30.0
KUBERNETES_DEFAULT = 30.0
_UVICORN = "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"


@dataclass(frozen=True, slots=True)
class Grace:
    """Tell how long somebody waits before a process is killed.

    Attributes:
        seconds: How long.
        name: Who says so.
        is_whole: Whether it counts from the first signal, so that a server's own wait for
            requests is a part of it.
    """

    seconds: float
    name: str
    is_whole: bool


def check_budget(
    config: Config, grace: float | None, environ: Mapping[str, str], folder: Path
) -> Iterator[Finding]:
    """Compare the time-outs with every grace period that is known."""
    known = list(_known(grace, environ, folder))
    if not known:
        yield skipped(
            "grace",
            "no server's grace period is known here",
            "Give it with --grace SECONDS: Docker waits 10 s, Kubernetes, gunicorn and Heroku "
            "30 s, systemd 90 s.",
        )
    waits = _seconds(environ.get(_UVICORN)) or 0.0
    for each in known:
        yield _compared(config, each, waits if each.is_whole else 0.0)


def _compared(config: Config, grace: Grace, waits: float) -> Finding:
    told = f"{grace.name} {grace.seconds:g} s"
    before = f" after uvicorn's wait of {waits:g} s for requests" if waits else ""
    if waits + config.exit_timeout >= grace.seconds:
        return warning(
            "grace",
            f"exit_timeout {config.exit_timeout:g} s{before} does not fit into {told}",
            "While the ingest hangs the process is killed before it is done: lower exit_timeout, "
            "or have it longer.",
        )
    if config.close_timeout > grace.seconds:
        return warning(
            "grace",
            f"close_timeout {config.close_timeout:g} s is longer than {told}",
            "A close() at the end may be cut off: lower close_timeout, or give close(timeout=...).",
        )
    return ok("grace", f"exit_timeout {config.exit_timeout:g} s{before} fits into {told}")


def _known(given: float | None, environ: Mapping[str, str], folder: Path) -> Iterator[Grace]:
    if given is not None:
        yield Grace(given, "--grace", is_whole=True)
    elif environ.get("KUBERNETES_SERVICE_HOST"):
        name = "Kubernetes' terminationGracePeriodSeconds, by default"
        yield Grace(KUBERNETES_DEFAULT, name, is_whole=True)
    argument = _seconds(read_gunicorn_arguments(environ).get("--graceful-timeout"))
    path = folder / GUNICORN
    if argument is not None:
        yield Grace(argument, "GUNICORN_CMD_ARGS' --graceful-timeout", is_whole=False)
    elif path.is_file():
        written = read_gunicorn(path).get("graceful_timeout", GUNICORN_DEFAULT)
        seconds = _seconds(written)
        if seconds is not None:
            yield Grace(seconds, f"{GUNICORN}'s graceful_timeout", is_whole=False)


def _seconds(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None
