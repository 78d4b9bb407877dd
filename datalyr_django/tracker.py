"""The tracker of a Django request, whose events can wait for a transaction's commit."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections

from datalyr_core.deferred import DeferredTracker, Later
from datalyr_core.tracker import Tracker
from datalyr_core.warn_once import warn_once

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("datalyr.django")


class DjangoTracker(Tracker):
    """Be a tracker that knows of transactions."""

    __slots__ = ()

    @property
    def on_commit(self) -> OnCommit:
        """Track when the current transaction is committed, and not at all if it rolls back."""
        return OnCommit(self)


class OnCommit(DeferredTracker):
    """Track when a transaction is committed: the default database's, or that of another."""

    __slots__ = ()

    def __init__(self, tracker: Tracker, using: str | None = None) -> None:
        """Bind to a tracker, and to a database by its alias."""
        super().__init__(tracker, partial(_at_commit, str(using or DEFAULT_DB_ALIAS)))

    def __call__(self, using: str | None = None) -> OnCommit:
        """Wait for another database: `request.datalyr.on_commit(using="other").track(…)`."""
        return OnCommit(self._tracker, using)


def _at_commit(using: str) -> Later | None:
    """Find what calls a function at the commit; None where no transaction is in progress.

    Only connections that are there already are looked at: `transaction.on_commit` would
    connect to find out, and raises in an event loop, where there are no transactions.
    """
    opened = {each.alias: each for each in connections.all(initialized_only=True)}
    connection = opened.get(using)
    if connection is not None and connection.in_atomic_block:
        return partial(connection.on_commit, robust=True)
    if using not in connections.settings:
        lacking = f"there is no database {using!r}, so that events wait for no commit of it"
        warn_once(logger, lacking)
    elif connection is not None and _is_managed_by_hand(connection):
        warn_once(
            logger,
            f"the transactions of the database {using!r} are managed by hand, without "
            "transaction.atomic(), so that events cannot wait for a commit and are sent at once",
        )
    return None


def _is_managed_by_hand(connection: BaseDatabaseWrapper) -> bool:
    return connection.connection is not None and not connection.autocommit
