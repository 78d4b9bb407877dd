"""Rows of workers that run jobs: Celery's pools and RQ's workers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.live.exit_matrix.ends import EVENTS, QUICK, Child
from tests.live.exit_matrix.programs import EXIT_TIMEOUT, HANGS, HELD_UP, to_its_end, troubled
from tests.live.exit_matrix.rows import Row
from tests.live.exit_matrix.rows import command as command_of
from tests.live.exit_matrix.stage import Ending, Stage

# Celery, RQ and Redis are imported where a row is played: without them it is skipped.
Send = Callable[[str, int], None]  # a task's name, and how often it is queued
NEEDS = ("celery", "redis", "redis-server")
VISITOR = {"datalyr": {"allowed": True, "anonymous_id": "anon_live", "user_id": "7"}}


@dataclass(frozen=True)
class CeleryWorker:
    """A worker of Celery: its pool, its options, the module of its application."""

    options: tuple[str, ...]
    module: str = "celery_jobs"

    @contextmanager
    def under_load(self, stage: Stage, **options: object) -> Iterator[tuple[Child, Send]]:
        """Start it, and queue tasks until enough are done; others still wait."""
        from tests.support.redis import redis_server

        with redis_server(stage.folder) as url, _producer(url) as queue:
            # Not `-m celery`, which cannot restart itself.
            command = (str(command_of("celery")), "-A", f"tests.live.apps.{self.module}", "-b", url)
            quiet = ("--without-mingle", "--without-gossip", "--loglevel", "warning")
            child = stage.start(*command, "worker", *quiet, *self.options, **options)
            queue("track", EVENTS + 100)
            stage.until(lambda: len(stage.ledger()) >= EVENTS, f"{EVENTS} events are accepted")
            yield child, queue


@contextmanager
def _producer(url: str) -> Iterator[Send]:
    from celery import Celery

    with Celery(broker=url, set_as_current=False) as app:

        def queue(name: str, count: int) -> None:
            for _ in range(count):
                app.send_task(name, headers={"headers": VISITOR})

        yield queue


def by_signal(
    stage: Stage, worker: CeleryWorker, signum: int, *, group: bool = False, **options: object
) -> Ending:
    """Send a signal while a slow task runs; to the children as well, as some managers do."""
    with worker.under_load(stage, **options) as (child, queue):
        queue("slow", 1)
        stage.until(lambda: _pids(stage, "begun"), "a slow task runs")
        began = time.monotonic()
        if group:
            os.killpg(child.pid, signum)
        else:
            child.send_signal(signum)
        stage.let_go_on()
        return stage.wait(child, began)


def by_recycling(stage: Stage, worker: CeleryWorker) -> Ending:
    """Let it replace its children after some tasks, several times."""
    with worker.under_load(stage) as (child, _):
        stage.until(lambda: len(stage.ledger()) >= EVENTS + 100, "all is done")
        stage.until(lambda: len(_pids(stage)) >= 5, "children are replaced")
        return stage.end(child, signal.SIGTERM)


def by_restart(stage: Stage, worker: CeleryWorker) -> Ending:
    """Have it become a new worker in the same process, and terminate that."""
    with worker.under_load(stage) as (child, queue):
        stage.until(lambda: len(stage.ledger()) >= EVENTS + 100, "all is done")
        child.send_signal(signal.SIGHUP)
        queue("track", 20)
        stage.until(lambda: len(stage.ledger()) >= EVENTS + 120, "the new worker works")
        return stage.end(child, signal.SIGTERM)


def by_crash(stage: Stage, worker: CeleryWorker) -> Ending:
    """Kill a child outright."""
    with worker.under_load(stage, **QUICK) as (child, queue):
        stage.until(lambda: len(stage.ledger()) >= EVENTS + 100, "all is done")
        settled = stage.settle()
        victim = max(_pids(stage) - {child.pid})
        os.kill(victim, signal.SIGKILL)
        stage.until(lambda: not _lives(victim), "the child is gone")
        queue("track", 100)
        stage.until(lambda: len(stage.ledger()) >= EVENTS + 200, "others do its work")
        ending = stage.end(child, signal.SIGTERM)
        more = {"excused": frozenset([victim]), "settled": settled}
        return Ending(ending.seconds, ending.status, ending.began, **more)


def _pids(stage: Stage, kind: str | None = None) -> frozenset[int]:
    """Name the processes that have tracked."""
    return frozenset(line.pid for line in stage.ledger() if kind in (None, line.kind))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


PREFORK = CeleryWorker(("--pool", "prefork", "--concurrency", "2"))
PARENT = CeleryWorker(PREFORK.options, "celery_parent")
RECYCLED = CeleryWorker((*PREFORK.options, "--max-tasks-per-child", "40"))
POOLS = {
    "prefork": PREFORK,
    "threads": CeleryWorker(("--pool", "threads", "--concurrency", "4")),
    "gevent": CeleryWorker(("--pool", "gevent", "--concurrency", "20")),
    "solo": CeleryWorker(("--pool", "solo")),
}


def _celery(arrangement: str, end: str, play: Callable[..., Ending], **more: Any) -> Row:
    return Row(
        **{"arrangement": arrangement, "end": end, "play": play, "needs": NEEDS, "compared": True}
        | more
    )


def _celery_rows() -> Iterator[Row]:
    for name, worker in POOLS.items():
        arrangement = f"Celery {name}"
        needs = (*NEEDS, "gevent") if name == "gevent" else NEEDS
        for signum in (signal.SIGTERM, signal.SIGINT):
            play = partial(by_signal, worker=worker, signum=signum)
            yield _celery(arrangement, signum.name, play, late=True, needs=needs)
        play = partial(by_restart, worker=worker)
        yield _celery(arrangement, "SIGHUP restart", play, needs=needs)
    yield _celery(
        "Celery prefork",
        "SIGTERM to all",
        partial(by_signal, worker=PREFORK, signum=signal.SIGTERM, group=True),
    )
    yield _celery(
        "Celery prefork", "SIGQUIT", partial(by_signal, worker=PREFORK, signum=signal.SIGQUIT)
    )
    yield _celery(
        "Celery prefork, parent has sent",
        "SIGTERM",
        partial(by_signal, worker=PARENT, signum=signal.SIGTERM),
        late=True,
    )
    yield _celery("Celery prefork", "--max-tasks-per-child", partial(by_recycling, worker=RECYCLED))
    yield _celery(
        "Celery prefork",
        "SIGKILL of a child",
        partial(by_crash, worker=PREFORK),
        crash="the killed child's last second",
    )
    held_up = partial(
        by_signal, worker=PREFORK, signum=signal.SIGTERM, exit_timeout=EXIT_TIMEOUT, flush_at=100
    )
    yield _celery(
        "Celery prefork, ingest hangs",
        "SIGTERM",
        partial(troubled, held_up, **HANGS),
        compared=False,
        longest=HELD_UP + 3,  # a child sleeps a second of its own, and the worker polls
        lossy="the ingest takes nothing",
        logged="did not take them in time",
    )


# RQ

# Jobs, each a process of its own or even a program; they track several events each.
JOBS = {"Worker": 10, "SimpleWorker": 40, "SpawnWorker": 5}
OURS = "datalyr_core.jobs.rq"


@contextmanager
def _rq_worker(stage: Stage, worker: str, *more: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    from redis import Redis
    from rq import Queue

    from tests.support.redis import redis_server

    with redis_server(stage.folder) as url, Redis.from_url(url) as connection:
        queue = Queue(connection=connection)
        jobs = JOBS[worker]
        for n in range(jobs):
            job = "fail" if n == jobs // 2 else "track"
            queue.enqueue(f"tests.live.apps.rq_jobs.{job}", EVENTS // jobs, meta=VISITOR)
        module = "rq.worker" if stage.plain else OURS
        command = ("-m", "rq.cli", "worker", "--quiet", "--url", url)
        yield (*command, "--worker-class", f"{module}.{worker}", *more), queue


def rq_burst(stage: Stage, worker: str) -> Ending:
    """Let it do what there is to do."""
    with _rq_worker(stage, worker, "--burst") as (command, _):
        return to_its_end(stage, *command)


def rq_signal(stage: Stage, worker: str, signum: int) -> Ending:
    """Send a signal while a slow job runs."""
    with _rq_worker(stage, worker) as (command, queue):
        child = stage.start(*command)
        stage.until(lambda: len(stage.ledger()) >= EVENTS, f"{EVENTS} events are accepted")
        queue.enqueue("tests.live.apps.rq_jobs.slow", meta=VISITOR)
        stage.until(lambda: _pids(stage, "begun"), "a slow job runs")
        began = time.monotonic()
        child.send_signal(signum)
        stage.let_go_on()
        return stage.wait(child, began)


def _rq_rows() -> Iterator[Row]:
    for worker in ("Worker", "SimpleWorker", "SpawnWorker"):
        more: dict[str, Any] = {
            "arrangement": f"RQ {worker}",
            "needs": ("rq", "redis", "redis-server"),
            "compared": True,
        }
        burst = partial(rq_burst, worker=worker)
        yield Row(end="end of a burst", play=burst, **more)
        for signum in (signal.SIGTERM, signal.SIGINT):
            play = partial(rq_signal, worker=worker, signum=signum)
            yield Row(end=signum.name, play=play, late=True, **more)


ROWS = [*_celery_rows(), *_rq_rows()]
