"""A Celery application whose tasks track and note the event's id."""

from __future__ import annotations

import time

from celery import Celery

from datalyr_core import current_tracker
from datalyr_core.jobs.celery import install
from tests.live.apps.ledger import PLAIN, note, plain_id, told_to_go_on

app = Celery("tests.live.apps.celery_jobs", set_as_current=False)
app.conf.broker_connection_retry_on_startup = True
if not PLAIN:
    install(app)


def _one(kind: str) -> None:
    note(plain_id() if PLAIN else current_tracker().track("Live"), kind)


@app.task(name="track")
def track() -> None:
    _one("load")


@app.task(name="slow")
def slow() -> None:
    _one("begun")
    while not told_to_go_on():
        time.sleep(0.05)
    _one("late")


@app.task(name="block")
def block() -> None:
    """Never end."""
    _one("block")
    while True:
        time.sleep(60)
