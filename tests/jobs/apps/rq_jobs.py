"""Jobs for RQ; each tracks one event, whose name it is given. They make no client."""

from __future__ import annotations

import os
from typing import Any

from redis import Redis
from rq import get_current_job

from datalyr_core import current_tracker
from datalyr_core.jobs.rq import Queue


def track(name: str, **properties: Any) -> str | None:
    """Track an event; says who the visitor is."""
    tracker = current_tracker()
    if tracker is None:
        return "nobody"
    tracker.track(name, properties)
    return tracker.anonymous_id


async def track_in_a_loop(name: str) -> str | None:
    return track(name)


def fail_once(name: str) -> None:
    """Track, fail, and be tried again."""
    job = get_current_job()
    assert job is not None
    tries = job.meta["tries"] = job.meta.get("tries", 0) + 1
    job.save_meta()
    track(name, tries=tries)
    if tries == 1:
        raise ValueError("a job that fails, on purpose")


def queue_another(name: str) -> None:
    """Queue a job from within a job."""
    with Redis.from_url(os.environ["TEST_BROKER"]) as connection:
        Queue(connection=connection).enqueue(track, name)


def on_success(job: Any, connection: Any, result: Any) -> None:
    track(f"After {result}")
