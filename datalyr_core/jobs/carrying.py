"""What of a visitor travels with a job, and the request that a job makes of it again. Pure.

A message can be written by whoever reaches the broker, and by another version of this
package: what comes out of one is checked as a cookie is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from datalyr_core.identity import new_anonymous_id, usable_id
from datalyr_core.tracker import Tracker
from datalyr_core.visitor import Facts, known_facts
from datalyr_core.warn_once import warn_once
from datalyr_core.web_request import PENDING

logger = logging.getLogger("datalyr.jobs")

KEY = "datalyr"  # what a message calls it, in its headers or its meta data


@dataclass(frozen=True, slots=True)
class Carried:
    """Know the visitor of the request that queued a job."""

    allowed: bool
    anonymous_id: str
    user_id: str | None

    def facts(self) -> Facts:
        """Return what a tracker needs to know, so that it asks no request."""
        return known_facts(
            allowed=self.allowed, anonymous_id=self.anonymous_id, user_id=self.user_id
        )


def packed(tracker: Tracker) -> dict[str, Any]:
    """Tell what travels: strings and flags, so that every serializer takes it.

    Args:
        tracker: The tracker of the request, or of the job, that queues a job.

    Returns:
        No id at all of a visitor who may not be tracked.
    """
    if not tracker.allowed:
        return {"allowed": False}
    user = tracker.user()
    if user is PENDING:
        user = None
        warn_once(
            logger,
            "a job was queued in an asynchronous view before anything looked the user up, so "
            "the job's events carry the visitor and no user; `await request.auser()` first",
        )
    return {"allowed": True, "anonymous_id": tracker.anonymous_id, "user_id": user}


def unpacked(told: object) -> Carried | None:
    """Check what came with a job.

    Returns:
        The visitor, with a fresh id if theirs is not one; None when nothing came, or
        something of which not even consent can be told.
    """
    if not isinstance(told, dict) or not isinstance(told.get("allowed"), bool):
        return None
    anonymous_id, user_id = told.get("anonymous_id"), told.get("user_id")
    sent = usable_id(anonymous_id) if isinstance(anonymous_id, str) else None
    user = user_id if isinstance(user_id, str) and user_id else None
    return Carried(told["allowed"], sent or new_anonymous_id(), user)


class JobRequest:
    """Answer core's questions about a request that has gone: nothing of it is known."""

    __slots__ = ()

    @property
    def native(self) -> object:
        """Return nothing: no framework has a request here."""
        return None

    def header(self, name: str) -> str | None:
        """Return no header."""
        return None

    def path(self) -> str:
        """Return no path."""
        return ""

    def query(self) -> str:
        """Return no query."""
        return ""

    def url(self) -> str | None:
        """Return no URL."""
        return None

    def secure(self) -> bool:
        """Tell that nothing is known of the connection."""
        return False

    def ip(self) -> str | None:
        """Return no address."""
        return None

    def user_id(self) -> object:
        """Return nobody: who the user is, was carried here."""
        return None

    def ask(self, question: Callable[[Any], Any]) -> object:
        """Return nobody: the question was answered when the job was queued."""
        return None
