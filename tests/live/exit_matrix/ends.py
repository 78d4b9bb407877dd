"""Ways in which a server ends, each under load."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.live.exit_matrix.load import Load, load
from tests.live.exit_matrix.stage import Ending, Stage, free_port

EVENTS = 200  # that are tracked before the end begins
IN_THE_MIDDLE = 0.5  # seconds into the end, when the slow view tracks
QUICK = {"flush_interval": 1}  # seconds, where a row waits for what was accepted long ago

Child = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Server:
    """What is started.

    Attributes:
        command: The command, with `{port}` and perhaps `{folder}`.
        prefix: What comes before the paths of its views.
        workers: How many processes serve. One that has not begun to may miss a signal.
        options: Further options of its client.
    """

    command: tuple[str, ...]
    prefix: str = ""
    workers: int = 1
    options: dict[str, object] = field(default_factory=dict)

    @contextmanager
    def under_load(self, stage: Stage, **options: object) -> Iterator[tuple[Child, Load]]:
        """Start it and load it until it has accepted enough."""
        port = free_port()
        command = (part.format(port=port, folder=stage.folder) for part in self.command)
        child = stage.start(*command, **{**self.options, **options})
        with load(port, self.prefix) as clients:
            stage.until(lambda: clients.ask("/track") or child.poll() is not None, "it answers")
            clients.begin()
            stage.until(lambda: len(stage.ledger()) >= EVENTS, f"{EVENTS} events are accepted")
            stage.until(lambda: len(_workers(stage)) >= self.workers, "all workers serve")
            clients.slow_down()
            yield child, clients


def by_signal(
    stage: Stage, server: Server, signum: int, *, group: bool = False, hanging: bool = False
) -> Ending:
    """Send a signal while a slow view runs.

    Args:
        group: Whether each process gets it, as from a terminal.
        hanging: Whether the ingest takes events and answers nothing.
    """
    if hanging:
        stage.fault(delay=60)
    with server.under_load(stage) as (child, clients):
        _slow_request(stage, clients)
        began = time.monotonic()
        if group:
            os.killpg(child.pid, signum)
        else:
            child.send_signal(signum)
        _let_go_on(stage)
        return stage.wait(child, began)


def by_reload(stage: Stage, server: Server, signum: int = signal.SIGHUP) -> Ending:
    """Have it reload while a slow view runs, and terminate it when all workers are new."""
    with server.under_load(stage) as (child, clients):
        _slow_request(stage, clients)
        old, began = _workers(stage), time.monotonic()
        child.send_signal(signum)
        _let_go_on(stage)
        try:
            stage.until(lambda: not any(map(_lives, old)), "the old workers are gone")
        except TimeoutError:
            return Ending(time.monotonic() - began, None, began)
        took = time.monotonic() - began
        # All of them: one that still loads its application may miss its server's signal, with
        # the plugin and without, and gunicorn's and uWSGI's masters then wait for it.
        enough = server.workers
        stage.until(lambda: len(_workers(stage) - old) >= enough, "all new workers serve")
        return _terminated(stage, child, took, began)


def by_recycling(stage: Stage, server: Server) -> Ending:
    """Let it replace its workers after some requests, several times."""
    with server.under_load(stage) as (child, _):
        few = len(_workers(stage))
        stage.until(lambda: len(_workers(stage)) >= few + 3, "several workers have been replaced")
        return stage.end(child, signal.SIGTERM)


def by_timeout(stage: Stage, server: Server, *, crash: bool) -> Ending:
    """Block a worker until its server has had enough."""
    with server.under_load(stage, **QUICK) as (child, clients):
        settled = stage.settle()
        clients.ask_in_background("/block")
        blocked = stage.until(lambda: _pids(stage, "block"), "a worker blocks")
        old, began = _workers(stage), time.monotonic()
        stage.until(lambda: not any(map(_lives, blocked)), "the blocked worker is gone")
        took, excused = time.monotonic() - began, blocked if crash else frozenset()
        _replaced(stage, old)
        return _terminated(stage, child, took, began, excused=excused, settled=settled)


def by_crash(stage: Stage, server: Server) -> Ending:
    """Kill a worker outright."""
    with server.under_load(stage, **QUICK) as (child, _):
        settled = stage.settle()
        old, began = _workers(stage), time.monotonic()
        victim = max(old)
        os.kill(victim, signal.SIGKILL)
        stage.until(lambda: not _lives(victim), "the worker is gone")
        took = time.monotonic() - began
        _replaced(stage, old)
        more = {"excused": frozenset([victim]), "settled": settled}
        return _terminated(stage, child, took, began, **more)


def by_touch(stage: Stage, server: Server, module: str) -> Ending:
    """Touch a source file, so that the development server reloads, and press Ctrl+C."""
    with server.under_load(stage) as (child, clients):
        old, began = _workers(stage), time.monotonic()
        # Its reloader may not have noticed yet that the file is there.
        later = time.time() + 5
        os.utime(stage.folder / module, (later, later))
        stage.until(lambda: not any(map(_lives, old)), "the old process is gone")
        took = time.monotonic() - began
        stage.until(lambda: _workers(stage) - old, "a new process serves")
        # Its parent gives that one 0.25 s for its end, which has a row of its own. Here it is
        # to have nothing left, and the old process all that it can lose.
        clients.stop()
        stage.settle(but=old)
        os.killpg(child.pid, signal.SIGINT)
        status = stage.wait(child, began).status
        return Ending(took, status, began)


def _slow_request(stage: Stage, clients: Load) -> None:
    """Ask for a view that takes until the end has begun, and then tracks."""
    clients.ask_in_background("/slow")
    stage.until(lambda: _pids(stage, "begun"), "a slow view runs")


def _let_go_on(stage: Stage) -> None:
    time.sleep(IN_THE_MIDDLE)
    stage.let_go_on()


def _terminated(stage: Stage, child: Child, took: float, began: float, **more: Any) -> Ending:
    """Terminate a server whose interesting end is over."""
    return Ending(took, stage.end(child, signal.SIGTERM).status, began, **more)


def _replaced(stage: Stage, old: frozenset[int]) -> None:
    """Wait for the worker that comes in the place of one that is gone.

    Until it serves it may miss its server's signal, and be killed at the end of the grace
    period, with the plugin and without.
    """
    stage.until(lambda: _workers(stage) - old, "a new worker serves")


def _workers(stage: Stage) -> frozenset[int]:
    return frozenset(line.pid for line in stage.ledger())


def _pids(stage: Stage, kind: str) -> frozenset[int]:
    return frozenset(line.pid for line in stage.ledger() if line.kind == kind)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
