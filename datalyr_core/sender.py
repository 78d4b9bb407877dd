"""The sender: a few threads that carry events from the outbox to the transport."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from datalyr_core import lifecycle
from datalyr_core.config import Config
from datalyr_core.delivery.base import Transport, checked
from datalyr_core.dispatcher import Dispatcher, Lease
from datalyr_core.errors import TransportError
from datalyr_core.event import DropReason
from datalyr_core.hooks import Hooks
from datalyr_core.outbox.base import Entry, Outbox

logger = logging.getLogger("datalyr")


class Sender:
    """Deliver what is in an outbox, in daemon threads that start with the first event."""

    def __init__(
        self,
        config: Config,
        outbox: Outbox,
        transport: Transport,
        hooks: Hooks,
        close_transport: Callable[[], Any],
    ) -> None:
        """Bring the parts together."""
        self.exit_timeout = self._exit_time = config.exit_timeout  # the second is what is left
        self._config = config
        self._outbox = outbox
        self._transport = transport
        self._hooks = hooks
        self._close_transport = close_transport
        self._dispatcher = Dispatcher(config, outbox, hooks)
        self._threads: set[threading.Thread] = set()
        # Re-entrant: a finalizer that tracks may run while this very thread holds them.
        self._starting = threading.RLock()  # held while threads are counted and one is added
        self._ending = threading.RLock()  # held while the rest is given up and counted
        self._lost_before: int | None = None  # when the client was closed
        self._stopping = self._retired = self._exiting = False

    @property
    def delivered(self) -> int:
        """Return how many events the ingest took."""
        return self._dispatcher.delivered

    @property
    def retried(self) -> int:
        """Return how many sends were tried again."""
        return self._dispatcher.retried

    # Taking in

    def put(self, body: bytes) -> bool:
        """Take an event; False if it was dropped at once."""
        evicted = self._outbox.put(body)
        if evicted:
            self._give_up(evicted, DropReason.QUEUE_OVERFLOW, "the queue is full")
        if self._stopping:  # closed between the caller's check and now
            self._give_up_all(DropReason.CLOSED, "the client is closed")
            return False
        if self._exiting or lifecycle.is_exiting():
            # Nobody comes after this thread: it delivers before it goes on.
            self.finish(time.monotonic() + self.exit_timeout)
        elif not self._threads and not self._add_thread(most=1):
            pass  # the next event tries to start one, and flush and exit need none
        elif self._outbox.waiting >= self._config.flush_at or not self._dispatcher.idle:
            self._hasten()
        # When everything else is on its way, the event itself is the oldest that waits.
        return not evicted or evicted[-1].body is not body

    def _hasten(self) -> None:
        """See to it that what waits is noticed, also while every thread is busy."""
        if self._dispatcher.needs_waking:
            self._dispatcher.wake()
        elif self._dispatcher.crowded(len(self._threads)):
            self._add_thread(most=self._config.concurrency)

    # Waiting for delivery

    def flush(self, timeout: float | None) -> bool:
        """Wait until all is delivered or dropped, or a whole pass delivers nothing.

        Args:
            timeout: Seconds to wait at most, or None.

        Returns:
            True when everything was delivered.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        lost = self._dispatcher.lost
        with self._dispatcher.waiting():
            while self._dispatcher.unfinished():
                delivered = self.delivered
                if not self._pass(deadline, hurry=True) or self.delivered == delivered:
                    break
            return not self._dispatcher.unfinished() and self._dispatcher.lost == lost

    def stop(self, deadline: float) -> bool:
        """Deliver until the deadline, on the monotonic clock, then end for good.

        Returns:
            True when everything was delivered.
        """
        with self._ending:
            if self._lost_before is None:
                self._lost_before = self._dispatcher.lost
        self._drain(deadline)
        self._stopping = True
        self._dispatcher.wake()
        self._give_up_rest("close() came to its time-out")
        self._close_transport()
        return self._dispatcher.lost == self._lost_before

    def hurry(self) -> None:
        """Begin to deliver what waits, without waiting for it."""
        self._dispatcher.want_pass(hurry=True)

    def finish(self, deadline: float) -> None:
        """Deliver until the deadline, since the process ends; events may still come.

        All calls together take no longer than `exit_timeout`.
        """
        self._exiting = True
        begun = time.monotonic()
        self._drain(min(deadline, begun + self._exit_time))
        self._exit_time -= time.monotonic() - begun
        self._give_up_rest("the process ends and the ingest did not take them in time")

    def retire(self) -> None:
        """Deliver what is left and end, since no client is there any more.

        It takes no lock: the garbage collector calls it, at any moment.
        """
        self._retired = True

    def _drain(self, deadline: float) -> None:
        """Make passes until nothing is left, however often they fail."""
        hurry = True
        with self._dispatcher.waiting():
            while self._dispatcher.unfinished() and time.monotonic() < deadline:
                self._pass(deadline, hurry=hurry)
                hurry = False

    def _pass(self, deadline: float | None, *, hurry: bool) -> bool:
        """Have a whole pass made; False if the deadline came first."""
        number = self._dispatcher.want_pass(hurry=hurry)
        own = threading.current_thread() in self._threads  # a hook that closes the client
        if own or not (self._threads or self._add_thread(most=1)):
            return self._help(number, deadline)
        self._hasten()
        return self._dispatcher.wait_for_pass(number, deadline)

    def _help(self, number: int, deadline: float | None) -> bool:
        """Make a pass in the calling thread, since no other can make it."""
        is_over = partial(self._dispatcher.pass_is_over, number)
        with self._hurried_transport(deadline):
            while lease := self._dispatcher.next(is_over, joining=False, deadline=deadline):
                self._send(lease)
        return is_over()

    @contextmanager
    def _hurried_transport(self, deadline: float | None) -> Iterator[None]:
        """Tell a transport that can be told by when this thread's answers must be there."""
        transport: Any = self._transport
        if not hasattr(transport, "deadline"):
            yield
            return
        before, transport.deadline = transport.deadline, deadline
        try:
            yield
        finally:
            transport.deadline = before

    def _give_up_rest(self, why: str) -> None:
        self._give_up_all(DropReason.CLOSE_TIMEOUT, f"{why}; {{count}} are lost")

    def _give_up_all(self, reason: DropReason, why: str) -> None:
        with self._ending:  # who finds nothing left also finds it counted
            left = self._outbox.abandon()
            self._dispatcher.lose(len(left))
        if left:
            self._report(left, reason, why.format(count=len(left)))

    def _give_up(self, entries: Sequence[Entry], reason: DropReason, why: str) -> None:
        self._dispatcher.lose(len(entries))
        self._report(entries, reason, why)

    def _report(self, entries: Sequence[Entry], reason: DropReason, why: str) -> None:
        self._hooks.drop((entry.event for entry in entries), reason, why, count=len(entries))

    # Threads

    def _add_thread(self, *, most: int) -> bool:
        """Start one more thread unless there are enough; False if none can be started."""
        with self._starting:
            if len(self._threads) >= most:
                return True
            lifecycle.first_event()
            thread = threading.Thread(target=self._run, name="datalyr-sender", daemon=True)
            self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is exiting, or the system has no more threads
                self._threads.discard(thread)
                return False
            return True

    def _run(self) -> None:
        """Send until there is no more need of this thread."""
        joining = True
        try:
            while lease := self._dispatcher.next(self._superfluous, joining=joining):
                if self._dispatcher.crowded(len(self._threads)):
                    self._add_thread(most=self._config.concurrency)
                self._send(lease)
                joining = False
        finally:
            self._threads.discard(threading.current_thread())
            if not self._threads and self._outbox.waiting and not self._stopping:
                self._add_thread(most=1)  # this one was made to end by somebody else's code
            if self._retired and not self._threads:
                self._close_transport()

    def _superfluous(self) -> bool:
        """Tell whether the thread that asks may end; asked under the dispatcher's lock.

        It leaves the set here, so that of two that ask one after the other the second
        knows that it is the last, and stays: somebody has to send the next event.
        """
        thread = threading.current_thread()
        over = self._stopping or (self._retired and not len(self._outbox))
        free = len(self._threads) - self._dispatcher.busy
        if over or (free > 1 and self._dispatcher.idle):
            self._threads.discard(thread)
        return thread not in self._threads

    def _send(self, lease: Lease) -> None:
        entry, _ = lease
        try:
            answer: Any = self._transport.send(entry.body)
        except TransportError as error:
            answer = error
        except Exception as error:  # a transport of the application's own may raise anything
            answer = TransportError(f"{type(error).__name__}: {error}")
        except BaseException as error:  # this thread is made to end; its event is not
            self._dispatcher.conclude(lease, TransportError(f"{type(error).__name__}: {error}"))
            raise
        answer = checked(answer)  # or answer anything
        if self._config.debug:
            logger.debug("%s", self._config.without_key(f"sent {entry.body!r}: {answer!r}"))
        self._dispatcher.conclude(lease, answer)
