"""Rows of plain processes: scripts, forks, pools, commands."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.live.exit_matrix.rows import Row
from tests.live.exit_matrix.stage import Ending, Stage

SCRIPTS = ("-m", "tests.live.apps.scripts")
EXIT_TIMEOUT = 2  # seconds, where the ingest takes nothing
# An interpreter may need a moment to end, and a busy machine another; the default time of
# 5 seconds would break this.
HELD_UP = EXIT_TIMEOUT + 2.5


def to_its_end(stage: Stage, *command: str, **options: object) -> Ending:
    """Let a program come to its own end, which begins with its last event."""
    child = stage.start(*command, **options)
    child.wait(60)
    over = time.monotonic()
    last = max((line.at for line in stage.ledger()), default=over)
    return Ending(over - last, child.returncode, last)


def by_signal(stage: Stage, *command: str, signum: int, **options: object) -> Ending:
    """Send a program a signal once it has said that it is ready."""
    child = stage.start(*command, **options)
    stage.until(lambda: any(line.kind == "ready" for line in stage.ledger()), "it is ready")
    return stage.end(child, signum)


def troubled(play: Callable[[Stage], Ending], stage: Stage, **fault: Any) -> Ending:
    """Play with an ingest that takes nothing."""
    stage.fault(**fault)
    return play(stage)


def _script(arrangement: str, name: str, end: str = "end of the script", **more: Any) -> Row:
    play = partial(_play_script, name=name)
    return Row(arrangement=arrangement, end=end, play=play, compared=True, **more)


def _play_script(stage: Stage, name: str, **options: object) -> Ending:
    return to_its_end(stage, *SCRIPTS, name, **options)


def _signalled(arrangement: str, name: str, signum: signal.Signals, **more: Any) -> Row:
    play = partial(_play_signal, name=name, signum=signum)
    return Row(arrangement=arrangement, end=signum.name, play=play, compared=True, **more)


def _play_signal(stage: Stage, name: str, signum: int, **options: object) -> Ending:
    return by_signal(stage, *SCRIPTS, name, signum=signum, **options)


HANGS: dict[str, Any] = {"delay": 60}
IS_DOWN: dict[str, Any] = {"status": 503}


def _held_up(
    end: str, play: Callable[..., Ending], name: str, fault: dict[str, Any], **more: Any
) -> Row:
    """Make a row of an ingest that takes nothing: everything is lost, but in time."""
    with_options = partial(play, name=name, exit_timeout=EXIT_TIMEOUT, flush_at=100, **more)
    return Row(
        arrangement=f"plain script, ingest {'hangs' if fault is HANGS else 'is down'}",
        end=end,
        play=partial(troubled, with_options, **fault),
        longest=HELD_UP,
        lossy="the ingest takes nothing",
        logged="did not take them in time",
        ci=True,
    )


def _python_312_1(stage: Stage) -> Ending:
    """Run an interpreter that starts no thread while it exits."""
    return to_its_end(stage, os.environ["DATALYR_PYTHON_312_1"], *SCRIPTS, "end")


ROWS = [
    _script("plain script", "end", ci=True),
    _script("plain script", "sys_exit", "sys.exit", ci=True),
    _script("plain script", "exception", "unhandled exception", ci=True),
    _signalled("plain script", "wait", signal.SIGTERM, ci=True),
    _signalled("plain script", "wait", signal.SIGINT, ci=True),
    _signalled("script with a SIGTERM handler", "handler", signal.SIGTERM, late=True),
    # Without the plugin the status is a matter of luck.
    Row(
        arrangement="script that gets SIGTERM time and again",
        end="SIGTERM",
        play=partial(_play_signal, name="impatient", signum=signal.SIGTERM),
        ci=True,
    ),
    _signalled("asyncio script", "loop", signal.SIGTERM, late=True),
    _script("thread that outlives main", "thread", "end of the thread", ci=True),
    _script("daemon thread that tracks on", "daemon"),
    _script("os.fork", "fork", "end of both", ci=True),
    *(
        _script(f"multiprocessing, {method}", f"multiprocess-{method}", "end of all", ci=True)
        for method in ("fork", "spawn", "forkserver")
    ),
    *(
        _script(f"multiprocessing.Pool, {method}", f"pool-{method}", "close and join")
        for method in ("fork", "spawn", "forkserver")
    ),
    _script("ThreadPoolExecutor", "threads", ci=True),
    _script("ThreadPoolExecutor left open", "unfinished"),
    *(
        _script(f"ProcessPoolExecutor, {method}", f"processes-{method}", ci=method == "fork")
        for method in ("fork", "spawn", "forkserver")
    ),
    _held_up("end of the script", _play_script, "end", HANGS),
    _held_up("end of the script", _play_script, "end", IS_DOWN),
    _held_up("SIGTERM", _play_signal, "wait", HANGS, signum=signal.SIGTERM),
]
