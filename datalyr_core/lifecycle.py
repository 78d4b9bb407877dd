"""Beginning and end: forks, exits and signals. The only module that touches any of them.

A process can end in several ways and each has a hook of its own:

- the interpreter exits: `atexit`, which also runs after `sys.exit` and Ctrl+C;
- a child of `multiprocessing` ends: it skips `atexit` and runs its own finalizers;
- SIGTERM with its default action kills at once: a handler delivers first, and then lets
  the signal do what it would have done;
- a server that handles SIGTERM may raise it again with the default action once it has shut
  down, as uvicorn does: where nothing else tells of its end, `hold_sigterm` delivers before
  the server hears of the signal.
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
from collections.abc import Callable
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
_pid = os.getpid()
_exiting = False
_ending = False
_server_handler: Any = None  # of SIGTERM, where it is held back
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


def forget(client: Forkable | None, sender: Finishable) -> None:
    """Stop looking after a client that is closed, or after a sender that it no longer has."""
    if client is not None:
        _forkable.discard(client)
    _finishable.discard(sender)
    release_sigterm()


def notice_fork() -> None:
    """Notice a fork that ran no fork hooks, as uWSGI's does not; the clients do so themselves."""
    if _pid != os.getpid():
        _begin_anew()


def release_sigterm() -> None:
    """Give SIGTERM its default action back when no client is left; only the main thread can."""
    if _finishable or not _is_main_thread():
        return
    handler = signal.getsignal(signal.SIGTERM)
    if handler is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    elif handler is _on_held_sigterm:
        signal.signal(signal.SIGTERM, _server_handler)


def hold_sigterm() -> bool:
    """Hold a SIGTERM that somebody else handles back until what was accepted is delivered.

    For servers that leave without an exit: uvicorn shuts down and then raises the signal
    with its default action. Their handler gets the signal all the same, a moment later.

    Returns:
        Whether the exit is covered. It may not be where the handler is somebody else's and
        this is not the main thread, the only one that can set another.
    """
    global _server_handler
    handler = signal.getsignal(signal.SIGTERM)
    if not (_finishable and _is_servers(handler)):
        return True
    if not _is_main_thread():
        return False
    _server_handler = handler
    signal.signal(signal.SIGTERM, _on_held_sigterm)
    return True


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
    return signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, _on_sigterm, _on_held_sigterm)


def is_ending() -> bool:
    """Tell whether a SIGTERM was held back: what is tracked from here on, nobody waits for."""
    return _ending


def _begin_anew() -> None:
    global _exiting, _ending, _pid
    _exiting = _ending = False
    _pid = os.getpid()
    _finishable.clear()  # they are the parent's


def _after_fork() -> None:
    _begin_anew()
    for client in list(_forkable):
        client.after_fork()


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _catch_sigterm() -> None:
    """Take SIGTERM where its action is still the default; what a server has set stays."""
    if _is_main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _is_servers(handler: object) -> bool:
    """Tell whether a handler of SIGTERM is one that can be called later.

    An event loop's is not: it does nothing, and the loop hears of the signal without it.
    Servers that ask their loop for signals exit in the ordinary way.
    """
    if not callable(handler) or handler in (_on_sigterm, _on_held_sigterm):
        return False
    owner = getattr(handler, "__self__", handler)
    return not str(getattr(owner, "__module__", "")).startswith(("asyncio.", "uvloop"))


def _on_sigterm(signum: int, frame: object) -> None:
    """Deliver, and then die of the signal."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _in_bare_thread(_finish_and_die)


def _on_held_sigterm(signum: int, frame: object) -> None:
    """Deliver, and then let the server have its signal."""
    global _ending
    _ending = True
    signal.signal(signal.SIGTERM, _server_handler)
    _in_bare_thread(_deliver_and_pass_on)


def _in_bare_thread(deliver: Callable[[], None]) -> None:
    """Deliver in a thread, so that nothing is waited for in a signal handler.

    The handler has interrupted the main thread anywhere, also where it holds a lock. For
    the same reason the thread is a bare one: `threading` takes locks of its own to start one.
    """
    try:
        _thread.start_new_thread(deliver, ())
    except RuntimeError:  # pragma: no cover - dies as below; no thread can start any more
        deliver()


def _finish_and_die() -> None:  # pragma: no cover - dies before coverage can write
    try:
        finish_all()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def _deliver_and_pass_on() -> None:  # pragma: no cover - coverage sees no bare thread
    try:
        if not _deliver_backlog():
            for sender in list(_finishable):
                sender.exit_timeout = 0.0  # it is used up
                sender.finish(time.monotonic())
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def _deliver_backlog() -> bool:  # pragma: no cover - as above
    """Deliver what was accepted until now, while the server goes on; False if time ran out.

    A flush would wait for what the server's requests go on to track, which may never end.
    """
    goals = [(client, client.stats.accepted) for client in clients()]
    for sender in list(_finishable):
        sender.hurry()
    deadline = time.monotonic() + max((sender.exit_timeout for sender in _finishable), default=0)
    while any(_settled(client) < goal for client, goal in goals):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)
    return True


def _settled(client: Any) -> int:  # pragma: no cover - as above
    """Return how many events of a client were delivered or dropped."""
    stats = client.stats
    return int(stats.accepted - stats.waiting)
