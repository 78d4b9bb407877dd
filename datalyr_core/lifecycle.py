"""Beginning and end: forks, exits and signals. No other module touches them, but for uWSGI's.

A process can end in several ways and each has a hook of its own:

- the interpreter exits: `atexit`, which also runs after `sys.exit` and Ctrl+C;
- a child of `multiprocessing` ends: it skips `atexit` and runs its own finalizers;
- SIGTERM with its default action kills at once: a handler delivers first, and then lets
  the signal do what it would have done;
- a server that handles SIGTERM may raise it again with the default action once it has shut
  down, as uvicorn does: where nothing else tells of its end, `hold_sigterm` delivers before
  the server hears of the signal.

Supervisors send a second SIGTERM, and servers answer a second signal with a `sys.exit`: once
a delivery before the end has begun, neither ends it. uWSGI's answer needs a module of its own.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from datalyr_core import uwsgi_signals

logger = logging.getLogger("datalyr")

IMPATIENT_AFTER = 1.0  # seconds after which a second Ctrl+C ends the wait for the delivery


class Forkable(Protocol):
    """What has to begin anew in a forked child."""

    def before_fork(self) -> None:
        """Get ready for a fork, in the parent."""

    def after_fork_in_parent(self) -> None:
        """Go on in the parent."""

    def after_fork(self) -> None:
        """Forget whatever belongs to the parent."""


class Finishable(Protocol):
    """What has to be done before the process ends."""

    exit_timeout: float

    def hurry(self) -> None:
        """Begin to deliver, without waiting for it."""

    def finish(self, deadline: float) -> None:
        """Deliver until a deadline on the monotonic clock."""

    def mark(self) -> int:
        """Return a mark between what was accepted until now and what comes later."""

    def is_past(self, mark: int) -> bool:
        """Tell whether everything before a mark is delivered or given up."""


_forkable: weakref.WeakSet[Any] = weakref.WeakSet()
_finishable: weakref.WeakSet[Any] = weakref.WeakSet()
_forking = threading.RLock()  # held by the thread that forks: one after the other
_ready_to_fork: list[Any] = []  # what was got ready for the fork that is under way
_hooked = False
_pid = os.getpid()
_exiting = False
_ending = False
_finished = False  # whether `finish_all` came to its end
_answering = _answered = False  # whether a SIGTERM waits for the delivery; whether that is over
_dying = False  # whether it is to end the process, as is its default action
_server_handler: Any = None  # of SIGTERM, where it is held back
_child_hooked_in = 0  # the process in which the multiprocessing finalizer is registered


def register(client: Forkable, sender: Finishable) -> None:
    """Look after a client: begin anew after a fork, deliver before the process ends."""
    global _hooked
    _forkable.add(client)
    _finishable.add(sender)
    if not _hooked:
        _hooked = True
        os.register_at_fork(
            before=_before_fork,
            after_in_parent=_after_fork_in_parent,
            after_in_child=_after_fork,
        )
        atexit.register(_finish_for_good)  # called last
        atexit.register(finish_all)
    _catch_sigterm()


def clients() -> list[Any]:
    """Return the clients that are looked after."""
    return _all_of(_forkable)


def _all_of(looked_after: weakref.WeakSet[Any]) -> list[Any]:
    """Return what is looked after, also while another thread makes or forgets a client."""
    while True:
        try:
            return list(looked_after)
        except RuntimeError:  # it has changed meanwhile
            continue


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


@contextmanager
def counted_interruptions() -> Iterator[Callable[[], int]]:
    """Count SIGINT and SIGTERM instead of letting them end the process; for commands.

    What the process was started to ignore, as a background job of a shell ignores Ctrl+C,
    stays ignored.

    Returns:
        A function that tells how many came.
    """
    came: list[int] = []  # appending takes no lock: the handler can interrupt anything
    before = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield came.__len__
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    global _exiting, _finished
    _exiting = True
    begun = time.monotonic()
    while True:
        try:
            with _sigterm_swallowed():
                _finish_every(_all_of(_finishable), begun)
            _finished = True
            return
        except SystemExit:  # a server's handler of a second signal; the process ends already
            continue


def finish_first() -> None:
    """Deliver at the exit before whatever was registered for it until now.

    Such as the restart of a Celery worker, which becomes another program there.
    """
    atexit.unregister(finish_all)
    atexit.register(finish_all)


def _finish_for_good() -> None:
    """Deliver where `finish_all` was cut short; die of a SIGTERM that came in good time."""
    if not _finished:  # pragma: no cover - a server's handler raised microseconds too early
        finish_all()
    # It was swallowed meanwhile, unless the application has set a handler that had it.
    if _dying and signal.getsignal(signal.SIGTERM) in (_on_sigterm, signal.SIG_DFL):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pragma: no cover - cannot tell of it
        os.kill(os.getpid(), signal.SIGTERM)  # pragma: no cover - nor can this


def _finish_every(senders: list[Any], begun: float) -> None:
    for sender in senders:  # all at once: one whose ingest hangs takes no time from the others
        sender.hurry()
    for sender in senders:
        _finish(sender, begun)


def _finish(sender: Finishable, begun: float) -> None:
    """Have one sender finish, whatever handlers of further signals raise meanwhile."""
    deadline = begun + sender.exit_timeout
    while True:
        try:
            sender.finish(deadline)
        except KeyboardInterrupt:
            # Some tools send a second one at once. A person who does so later has waited enough.
            if time.monotonic() - begun > IMPATIENT_AFTER:
                deadline = begun
            continue
        except Exception:
            logger.exception("delivery before the exit failed")
        return


@contextmanager
def _sigterm_swallowed() -> Iterator[None]:
    """Keep SIGTERM from ending a delivery, where it can be kept: the process ends anyway."""
    handler = signal.getsignal(signal.SIGTERM)
    if not _is_main_thread() or uwsgi_signals.swallow() or handler in (None, signal.SIG_IGN):
        yield
        return
    signal.signal(signal.SIGTERM, _swallow)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _swallow(signum: int, frame: object) -> None:
    """Do nothing; an ignored signal would also be ignored by children that are started now."""


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
    global _exiting, _ending, _finished, _answering, _answered, _dying, _pid
    _exiting = _ending = _finished = _answering = _answered = _dying = False
    _pid = os.getpid()
    _finishable.clear()  # they are the parent's


def _before_fork() -> None:
    _forking.acquire()
    for client in _all_of(_forkable):
        client.before_fork()
        _ready_to_fork.append(client)


def _after_fork_in_parent() -> None:
    while _ready_to_fork:
        _ready_to_fork.pop().after_fork_in_parent()
    _forking.release()


def _after_fork() -> None:
    global _forking
    _forking = threading.RLock()
    _ready_to_fork.clear()
    _begin_anew()
    for client in _all_of(_forkable):
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
    global _dying
    _dying = True
    _answer(signal.SIG_DFL, finish_all)


def _on_held_sigterm(signum: int, frame: object) -> None:
    """Deliver, and then let the server have its signal."""
    global _ending
    _ending = True
    _answer(_server_handler, _deliver_backlog)


def _answer(handler: Any, deliver: Callable[[], None]) -> None:
    """Deliver before a SIGTERM takes effect; further ones are swallowed until then.

    When it is over the signal is raised again, and has found its handler by then.
    """
    global _answering
    if _answered:
        signal.signal(signal.SIGTERM, handler)
        os.kill(os.getpid(), signal.SIGTERM)
    elif not _answering:
        _answering = True
        _in_bare_thread(deliver)


def _in_bare_thread(deliver: Callable[[], None]) -> None:
    """Deliver in a thread, so that nothing is waited for in a signal handler.

    The handler has interrupted the main thread anywhere, also where it holds a lock. For
    the same reason the thread is a bare one: `threading` takes locks of its own to start one.
    """
    try:
        _thread.start_new_thread(_deliver_first, (deliver,))
    except RuntimeError:  # pragma: no cover - dies as below; no thread can start any more
        _deliver_first(deliver)


def _deliver_first(deliver: Callable[[], None]) -> None:  # pragma: no cover - in a bare thread
    global _answered
    try:
        deliver()
    finally:
        _answered = True
        os.kill(os.getpid(), signal.SIGTERM)


def _deliver_backlog() -> None:  # pragma: no cover - coverage sees no bare thread
    """Deliver what was accepted until now, while the server goes on.

    A flush would wait for what the server's requests go on to track, which may never end.
    """
    backlog = [(sender, sender.mark()) for sender in _all_of(_finishable)]
    begun = time.monotonic()
    for sender, _ in backlog:
        sender.hurry()
    for sender, mark in backlog:
        while not sender.is_past(mark) and time.monotonic() < begun + sender.exit_timeout:
            time.sleep(0.005)
        if not sender.is_past(mark):
            sender.exit_timeout = 0.0  # it is used up
            sender.finish(time.monotonic())
