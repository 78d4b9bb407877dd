"""Signals in a process of uWSGI's, whose handlers cut an exit short that is under way.

They are written in C and call `exit` from wherever the process is. When a second signal comes
during the exit, `exit` is called again, goes on behind the hook that it interrupts, and the
rest of Python's exit never runs. Two of them are nothing unusual: Ctrl+C reaches a worker from
the terminal and from its master, and a worker that still loads its application has the master's
handlers, and passes a SIGHUP on to all others.
"""

from __future__ import annotations

import signal
from contextlib import suppress

from datalyr_core import uwsgi_threads

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def swallow() -> bool:
    """Let no further signal cut this process's exit short; only the main thread can.

    It holds until the process ends, since Python cannot give a handler back that is not its
    own. A worker that takes too long is killed by its master (`worker-reload-mercy`).

    Returns:
        Whether this is a process of uWSGI's; nothing is done in others.
    """
    if not uwsgi_threads.are_uwsgis():
        return False
    with suppress(ValueError):  # an interpreter beside the main one may set none
        for number in ENDING:
            signal.signal(number, _swallowed)
    return True


def leave_to_main_thread() -> None:
    """Keep these signals from the calling thread in a process of uWSGI's.

    While a handler runs, its own signal waits, unless another thread can take it: the handler
    would run there, and end the process beside the main thread's exit.
    """
    if uwsgi_threads.are_uwsgis():
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def _swallowed(signum: int, frame: object) -> None:
    """Do nothing; an ignored signal would also be ignored by children that are started now."""
