"""RQ: its classes under their own names, to be imported from here in RQ's place.

    from datalyr_core.jobs.rq import Queue  # where jobs are queued

    $ rq worker --worker-class datalyr_core.jobs.rq.Worker

A job that a request queues then has that request's visitor as its `current_tracker()`, and
so has whatever the job queues itself. A work horse delivers before it ends.
"""

from __future__ import annotations

from typing import Any

import rq

import datalyr_core.delivery.http  # noqa: F401 - once, and not again in each work horse
from datalyr_core import current_tracker, lifecycle
from datalyr_core.jobs.carrying import KEY, packed
from datalyr_core.jobs.running import Client, running


class Queue(rq.Queue):
    """Be RQ's queue; jobs take the visitor of the request with them, as `job.meta`."""

    def create_job(self, *args: Any, **kwargs: Any) -> rq.job.Job:
        """Make a job; every way to queue a function comes through here."""
        job = super().create_job(*args, **kwargs)
        tracker = current_tracker()
        if tracker is not None:
            job.meta = {**job.meta, KEY: packed(tracker)}  # the application's own stays as it was
        return job


class WorkerMixin:
    """Give jobs their visitor, and have work horses deliver. To be put before a worker's class.

    Attributes:
        datalyr: The client that jobs use, or a function that returns it. By default the
            one that the worker's process has, else one made from the environment's
            `DATALYR_…` variables.
    """

    datalyr: Client = None

    def perform_job(self, job: rq.job.Job, *args: Any, **kwargs: Any) -> bool:
        """Perform a job, and its callbacks."""
        worker: Any = super()
        try:
            with running(job.meta.get(KEY), type(self).datalyr):
                return bool(worker.perform_job(job, *args, **kwargs))
        finally:
            # A work horse ends by os._exit, once its job's result is stored.
            if worker.is_horse:
                lifecycle.finish_all()


class Worker(WorkerMixin, rq.Worker):
    """Be RQ's worker."""


class SimpleWorker(WorkerMixin, rq.SimpleWorker):
    """Be RQ's worker that forks no work horse."""


class SpawnWorker(WorkerMixin, rq.SpawnWorker):
    """Be RQ's worker whose work horses are programs of their own."""
