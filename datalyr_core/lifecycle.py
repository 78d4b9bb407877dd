"""Beginning and end: forks, exits and signals. The only module that touches any of them.

A process can end in several ways and each has a hook of its own:

- the interpreter exits: `atexit`, which also runs after `sys.exit` and Ctrl+C;
- a child of `multiprocessing` ends: it skips `atexit` and runs its own finalizers;
- SIGTERM with its default action kills at once: a handler delivers first, and then lets
  the signal do what it would have done.
"""

from __future__ import annotations

import _thread
import atexit
import logging
import os
import signal
import sys
import threading
import time
import weakref
from typing import Any, Protocol

logger = logging.getLogger("datalyr")


class Forkable(Protocol):
    """What has to begin anew in a forked child."""

    def after_fork(self) -> None:
        """Forget whatever belongs to the parent."""


class Finishable(Protocol):
    """What has to be done before the process ends."""

    exit_timeout: float

    def hurry(self) -> None:
        """Begin to deliver, without waiting for it."""

    def finish(self, deadline: float) -> None:
        """Deliver until a deadline on the monotonic clock."""


_forkable: weakref.WeakSet[Any] = weakref.WeakSet()
_finishable: weakref.WeakSet[Any] = weakref.WeakSet()
_hooked = False
_exiting = False
_child_hooked_in = 0  # the process in which the multiprocessing finalizer is registered


def register(client: Forkable, sender: Finishable) -> None:
    """Look after a client: begin anew after a fork, deliver before the process ends."""
    global _hooked
    _forkable.add(client)
    _finishable.add(sender)
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_after_fork)
        atexit.register(finish_all)
    _catch_sigterm()


def clients() -> list[Any]:
    """Return the clients that are looked after."""
    return list(_forkable)


def forget(client: Forkable, sender: Finishable) -> None:
    """Stop looking after a client that is closed."""
    _forkable.discard(client)
    _finishable.discard(sender)
    release_sigterm()


def release_sigterm() -> None:
    """Give SIGTERM its default action back when no client is left; only the main thread can."""
    if not _finishable and _is_main_thread() and signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def first_event() -> None:
    """Note that this process has something to deliver when it ends."""
    global _child_hooked_in
    util: Any = sys.modules.get("multiprocessing.util")
    process: Any = sys.modules.get("multiprocessing.process")
    if util and process and process.parent_process() and _child_hooked_in != os.getpid():
        _child_hooked_in = os.getpid()
        util.Finalize(None, finish_all, exitpriority=0)


def finish_all() -> None:
    """Deliver what every client of this process has, within one common time."""
    global _exiting
    _exiting = True
    begun = time.monotonic()
    senders = list(_finishable)
    for sender in senders:  # all at once: one whose ingest hangs takes no time from the others
        sender.hurry()
    for sender in senders:
        try:
            sender.finish(begun + sender.exit_timeout)
        except Exception:
            logger.exception("delivery before the exit failed")


def is_exiting() -> bool:
    """Tell whether the process has begun to end, so that no later moment is to be counted on."""
    return _exiting


def exit_is_covered() -> bool:
    """Tell whether SIGTERM has its default action or is caught here, not by a server."""
    return signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, _on_sigterm)


def _after_fork() -> None:
    global _exiting
    _exiting = False
    _finishable.clear()  # they are the parent's
    for client in list(_forkable):
        client.after_fork()


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _catch_sigterm() -> None:
    """Take SIGTERM where its action is still the default; what a server has set stays."""
    if _is_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(signum: int, frame: object) -> None:
    """Deliver in a thread, so that nothing is waited for here.

    The handler has interrupted the main thread anywhere, also where it holds a lock. For
    the same reason the thread is a bare one: `threading` takes locks of its own to start one.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        _thread.start_new_thread(_finish_and_die, ())
    except RuntimeError:  # pragma: no cover - as below; no thread can start any more
        _finish_and_die()


def _finish_and_die() -> None:  # pragma: no cover - dies before coverage can write
    try:
        finish_all()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
