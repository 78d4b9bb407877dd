"""A Celery application; the tests queue its tasks, and workers of their own run them.

Each task tracks one event, whose name it is given. It makes no client: a worker has the
environment's.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task

from datalyr_core import current_tracker
from datalyr_core.jobs.celery import install

app = Celery("tests.jobs.apps.celery_app", set_as_current=False)
app.conf.update(
    broker_url=os.environ.get("TEST_BROKER", "memory://"),
    result_backend=os.environ.get("TEST_BROKER", "cache+memory://"),
    broker_connection_retry_on_startup=True,
)
install(app)


@app.task
def track(name: str, **properties: Any) -> str | None:
    """Track an event; says who the visitor is."""
    tracker = current_tracker()
    if tracker is None:
        return "nobody"
    tracker.track(name, properties)
    return tracker.anonymous_id


@app.task(bind=True, max_retries=3)
def try_twice(self: Task, name: str) -> None:
    """Fail once and be tried again."""
    track(name, retries=self.request.retries)
    if self.request.retries < 1:
        raise self.retry(countdown=0)


@app.task
def queue_another(name: str) -> None:
    """Queue a job from within a job, without tracking anything."""
    track.delay(name)


@app.task
def log_in(name: str, user_id: str) -> None:
    """Say who the user is, and queue a job for them."""
    tracker = current_tracker()
    assert tracker is not None
    tracker.user_id = user_id
    track.delay(name)


@app.task(bind=True)
def tell_headers(self: Task) -> Any:
    """Say which headers a task sees."""
    return self.request.headers


@app.task
def fail(name: str) -> None:
    """Track, and raise."""
    track(name)
    raise ValueError("a job that fails, on purpose")
