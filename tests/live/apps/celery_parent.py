"""The same, in a worker that has sent an event itself before it makes its children."""

from __future__ import annotations

from datalyr_core import Datalyr
from tests.live.apps.celery_jobs import app
from tests.live.apps.ledger import PLAIN, note, plain_id

__all__ = ["app"]

client = None if PLAIN else Datalyr.from_env()
if client is None:
    note(plain_id(), "parent")
else:
    note(client.track("parent", "Live"), "parent")
    client.flush()
    note(client.track("parent", "Live"), "parent")  # it waits, and stays the parent's own
