"""The job that is running, and the tracker that it gets when it asks for one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextvars import ContextVar

from datalyr_core import lifecycle
from datalyr_core.client import Datalyr
from datalyr_core.config import Config
from datalyr_core.context import add_finder
from datalyr_core.event import Event
from datalyr_core.jobs.carrying import Carried, JobRequest, unpacked
from datalyr_core.tracker import Tracker
from datalyr_core.warn_once import warn_once

logger = logging.getLogger("datalyr.jobs")

Client = Datalyr | Callable[[], Datalyr | None] | None

_own: dict[str, Datalyr] = {}  # the client that a worker has made for itself


class running:  # noqa: N801 - it reads as a verb: with running(…)
    """Make a visitor the one whom `current_tracker()` knows, within a block.

    The client is not looked for before the job asks for the tracker: in an RQ worker it is
    the job's own module that makes it.
    """

    __slots__ = ("_carried", "_client", "_made", "_token")

    def __init__(self, told: object, client: Client) -> None:
        """Take what came with a job.

        Args:
            told: What `packed` made, or whatever else was in its place.
            client: The client, or a function that returns it, or None to look for it.
        """
        self._carried = unpacked(told)
        self._client = client
        self._made: dict[str, Tracker] = {}

    def __enter__(self) -> None:
        """Begin the job."""
        add_finder(_find, first=True)  # before a Flask context that the job may push
        self._token = _job.set(self)

    def __exit__(self, *error: object) -> None:
        """End the job."""
        _job.reset(self._token)

    def tracker(self) -> Tracker | None:
        """Return the job's tracker, the same one each time; None if no visitor came with it."""
        if self._carried is None:
            return None
        made = self._made.get("tracker")
        return made or self._made.setdefault("tracker", _tracker(self._carried, self._client))


_job: ContextVar[running | None] = ContextVar("datalyr_job", default=None)


def _find() -> Tracker | None:
    job = _job.get()
    return None if job is None else job.tracker()


def _tracker(carried: Carried, given: Client) -> Tracker:
    client = _client(given)
    if client is None:
        return Tracker(JobRequest(), Config(enabled=False), _lose, facts=carried.facts())
    return client.tracker(JobRequest(), facts=carried.facts())


def _client(given: Client) -> Datalyr | None:
    """Find the client of this process."""
    if isinstance(given, Datalyr):
        return given
    try:
        return _found() if given is None else given()
    except Exception as error:  # a ConfigurationError, or whatever a function raises
        why = f"the client for jobs could not be had ({type(error).__name__}: {error})"
        warn_once(logger, why, kind="no client")  # an error's text may differ from job to job
        return None


def _found() -> Datalyr | None:
    """Look for the one client that the process has; make one from the environment if need be."""
    clients: dict[object, Datalyr] = {each.config.api_key: each for each in lifecycle.clients()}
    if len(clients) == 1:
        return next(iter(clients.values()))
    if clients:
        warn_once(
            logger,
            "this process has clients of several keys; say which one its jobs use: client=…",
        )
        return None
    if not os.environ.get("DATALYR_API_KEY"):
        return None
    own = _own.get("client")
    if own is None or own.closed:
        own = _own["client"] = Datalyr.from_env()
    return own


def _lose(event: Event) -> None:
    warn_once(
        logger,
        "a job has tracked an event, but its process has no client that is enabled, so the "
        "event is lost; make one where the worker imports it, pass it as client=…, or set "
        "DATALYR_API_KEY",
    )


def deliver() -> None:
    """Deliver what the process has, within the exit's time; it may go on."""
    clients = lifecycle.clients()
    times = [client.config.exit_timeout for client in clients]
    deadline = time.monotonic() + max(times, default=0)
    for client in clients:
        client.flush(max(deadline - time.monotonic(), 0))
