"""The sender: a few threads that carry events from the outbox to the transport."""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from datalyr_core import guard, lifecycle, uwsgi_signals, uwsgi_threads
from datalyr_core.clock import Clock
from datalyr_core.config import Config
from datalyr_core.delivery.base import ONE, BatchTransport, Transport, checked, outlet_of
from datalyr_core.dispatcher import Dispatcher, Lease
from datalyr_core.errors import TransportError
from datalyr_core.event import DropReason
from datalyr_core.hooks import Hooks
from datalyr_core.outbox.base import Entry, Outbox, is_owned

logger = logging.getLogger("datalyr")

LAST_WORDS = 1.0  # seconds for other threads to say what is lost
REST = 15.0  # seconds between one call and the next of a transport that likes to rest


class Sender:
    """Deliver what is in an outbox, in daemon threads that start with the first event."""

    def __init__(
        self,
        config: Config,
        outbox: Outbox,
        transport: Transport | BatchTransport,
        hooks: Hooks,
        close_transport: Callable[[], Any],
        clock: Clock | None = None,
    ) -> None:
        """Bring the parts together."""
        self.exit_timeout = self._exit_time = config.exit_timeout  # the second is what is left
        self._config = config
        self._outbox = outbox
        self._transport = transport
        self._hooks = hooks
        self._close_transport = close_transport
        self._clock = clock or Clock()
        self._outlet = outlet_of(transport)
        # What takes many in one go is served by one thread: a second would halve its batches.
        self._most = config.concurrency if self._outlet.batch is ONE else 1
        self._dispatcher = Dispatcher(config, outbox, hooks, self._clock, self._outlet.batch)
        self._threads: set[threading.Thread] = set()
        self._spares: set[threading.Thread] = set()  # those among them that stand by
        # Re-entrant: a finalizer that tracks may run while this very thread holds them.
        self._starting = threading.RLock()  # held while threads are counted and one is added
        self._ending = threading.RLock()  # held for a moment; no other is taken meanwhile
        self._telling: Counter[int] = Counter()  # threads that say what they have given up
        self._told = threading.Condition(self._ending)
        self._is_untended = False  # whether the outbox has no need of being tended
        self._evicted: deque[Entry] = deque()  # what made room, and nobody could be told yet
        self._lost_before: int | None = None  # when the client was closed
        self._finishing = 0  # threads that deliver before the exit
        self._finishing_since = 0.0
        self._stopping = self._retired = self._exiting = False

    @property
    def delivered(self) -> int:
        """Return how many events the ingest took."""
        return self._dispatcher.delivered

    @property
    def retried(self) -> int:
        """Return how many sends were tried again."""
        return self._dispatcher.retried

    @property
    def in_trouble(self) -> bool:
        """Tell whether the ingest fails, as the log says it."""
        return self._dispatcher.in_trouble

    # Taking in

    def put(self, body: bytes) -> bool:
        """Take an event; False if it was dropped at once."""
        evicted = self._outbox.put(body)
        if evicted or self._evicted or not self._threads or self._is_over() or self._is_unnoticed():
            self._evicted.extend(evicted)
            # Else a finalizer or a signal's handler has come in the middle of something; whoever
            # is next does the rest, which takes locks of which others wait for the outbox.
            if not self._outbox.is_locked_here and not self._see_to_it():
                return self._outbox.kept > 0
        # When everything else is on its way, the event itself is the oldest that waits.
        return not evicted or not any(entry.body is body for entry in evicted)

    # No properties, which cost three times as much as methods: each event asks them.

    def _is_over(self) -> bool:
        return self._stopping or self._exiting or lifecycle.is_exiting()

    def _see_to_it(self) -> bool:
        """Do what an event may call for; False if it came too late."""
        self._report_evicted()
        if self._stopping:  # closed between the caller's check and now
            self._give_up_all(DropReason.CLOSED, "the client is closed")
            return False
        if self._is_over():
            # Nobody comes after this thread: it delivers before it goes on.
            self.finish(self._clock.now() + self.exit_timeout)
        elif (self._threads or self._add_thread(most=1)) and self._is_unnoticed():
            self._hasten()
        # Else the next event tries to start one, and flush and exit need none.
        return True

    def _report_evicted(self) -> None:
        told: list[Entry] = []
        with suppress(IndexError):  # another thread may tell of some
            while True:
                told.append(self._evicted.popleft())
        if told:
            self._give_up(told, DropReason.QUEUE_OVERFLOW, "the queue is full")

    def take_up(self) -> None:
        """Deliver what somebody else has put into the outbox."""
        if not self._threads:
            self._add_thread(most=1)
        self._hasten()

    def wait_for_room(self, seconds: float | None) -> None:
        """Wait until the outbox has room, unless nobody but this thread would make any."""
        own = threading.current_thread() in self._threads
        if not (own or self._exiting) and (self._threads or self._add_thread(most=1)):
            self._dispatcher.wait_for_room(seconds)

    def _is_unnoticed(self) -> bool:
        """Tell whether what waits is to be sent now, and no thread is about to."""
        dispatcher = self._dispatcher
        if not (dispatcher.running or self._outbox.waiting >= self._config.flush_at):
            return False
        return dispatcher.needs_waking or dispatcher.crowded(len(self._threads))

    def _hasten(self) -> None:
        """See to it that what waits is noticed, also while every thread is busy."""
        if self._dispatcher.needs_waking:
            self._dispatcher.wake()
        elif self._dispatcher.crowded(len(self._threads)):
            self._add_thread(most=self._most)

    # Waiting for delivery

    @property
    def is_locked_here(self) -> bool:
        """Tell whether a signal's handler or a finalizer asks that must wait for no delivery."""
        here = self._outbox.is_locked_here or self._dispatcher.is_locked_here
        return here or is_owned(self._starting)

    def flush(self, timeout: float | None) -> bool:
        """Wait until all is delivered or dropped, or a whole pass delivers nothing.

        Args:
            timeout: Seconds to wait at most, or None.

        Returns:
            True when everything was delivered.
        """
        if self.is_locked_here:
            return False
        deadline = None if timeout is None else self._clock.now() + timeout
        lost = self._dispatcher.lost
        self._report_evicted()
        with self._dispatcher.waiting():
            while self._dispatcher.unfinished():
                delivered = self.delivered
                if not self._pass(deadline, hurry=True) or self.delivered == delivered:
                    break
            self._outbox.tend()
            done = not self._dispatcher.unfinished() and not self._outbox.kept
            return done and self._dispatcher.lost == lost

    def drain(self, timeout: float | None) -> bool:
        """Do as `flush`, and deliver also what others left in the outbox."""
        if self.is_locked_here:
            return False
        end = None if timeout is None else self._clock.now() + timeout
        lost, fruitless = self._dispatcher.lost, 0
        while self._outbox.take_over() or self._dispatcher.unfinished():
            delivered = self.delivered
            self.flush(None if end is None else max(end - self._clock.now(), 0.0))
            fruitless = 0 if self.delivered > delivered else fruitless + 1
            # Once does not count: more may have been taken over just when its pass had ended.
            if fruitless > 1 or (end is not None and self._clock.now() >= end):
                return False
        return self._dispatcher.lost == lost

    def stop(self, deadline: float) -> bool:
        """Deliver until the deadline, on the monotonic clock, then end for good.

        Returns:
            True when everything was delivered.
        """
        with self._ending:
            if self._lost_before is None:
                self._lost_before = self._dispatcher.lost
        self._dispatcher.end_waits_for_room()
        self._drain(deadline)
        self._stopping = True
        self._report_evicted()
        self._dispatcher.wake()
        self._give_up_rest("close() came to its time-out")
        self._close_transport()
        return self._dispatcher.lost == self._lost_before and not self._outbox.kept

    def hurry(self) -> None:
        """Begin to deliver what waits, without waiting for it."""
        self._dispatcher.want_pass(hurry=True)

    def finish(self, deadline: float) -> None:
        """Deliver until the deadline, since the process ends; events may still come.

        All calls together take no longer than `exit_timeout`.
        """
        self._exiting = True
        self._dispatcher.end_waits_for_room()
        with self._exit_time_running() as end:
            deadline = min(deadline, end)
            self._drain(deadline)
        self._report_evicted()
        # Before that, what has come this very moment is in the hands of the thread that tracked it.
        if self._clock.now() >= deadline:
            self._give_up_rest(
                f"the process ends and {self._config.destination} did not take them in time"
            )
        else:
            self._outbox.tend()  # the thread that settled the last one may never come to it
        self._let_others_tell()

    @contextmanager
    def _exit_time_running(self) -> Iterator[float]:
        """Let the exit's time run, once for all threads that are in here, and tell its end."""
        with self._ending:
            if not self._finishing:
                self._finishing_since = self._clock.now()
            self._finishing += 1
            end = self._finishing_since + self._exit_time
        try:
            yield end
        finally:  # a signal's handler may raise in the middle
            with self._ending:
                self._finishing -= 1
                if not self._finishing:
                    self._exit_time -= self._clock.now() - self._finishing_since

    def mark(self) -> int:
        """Return a mark between what was accepted until now and what comes later."""
        return self._outbox.accepted

    def is_past(self, mark: int) -> bool:
        """Tell whether everything before a mark is delivered or given up."""
        oldest = self._outbox.oldest
        return oldest is None or oldest > mark

    def retire(self) -> None:
        """Deliver what is left and end, since no client is there any more.

        It takes no lock: the garbage collector calls it, at any moment.
        """
        self._retired = True

    def _drain(self, deadline: float) -> None:
        """Make passes until nothing is left, however often they fail."""
        hurry = True
        with self._dispatcher.waiting():
            while self._dispatcher.unfinished() and self._clock.now() < deadline:
                self._pass(deadline, hurry=hurry)
                hurry = False

    def _pass(self, deadline: float | None, *, hurry: bool) -> bool:
        """Have a whole pass made; False if the deadline came first."""
        number = self._dispatcher.want_pass(hurry=hurry)
        own = threading.current_thread() in self._threads  # a hook that closes the client
        own = own or sys.is_finalizing()  # what is left of others never runs again
        if own or not (self._threads or self._add_thread(most=1)):
            return self._help(number, deadline)
        self._hasten()
        return self._dispatcher.wait_for_pass(number, deadline)

    def _help(self, number: int, deadline: float | None) -> bool:
        """Make a pass in the calling thread, since no other can make it."""
        is_over = partial(self._dispatcher.pass_is_over, number)
        with self._hurried_transport(deadline):
            self._outbox.tend()
            while lease := self._dispatcher.next(is_over, deadline=deadline):
                self._send(lease)
                self._outbox.tend()
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
        self._give_up_all(DropReason.CLOSE_TIMEOUT, f"{why}; {{left}}")

    def _give_up_all(self, reason: DropReason, why: str) -> None:
        # Before anything is given up: who finds nothing left also finds that somebody tells of it.
        with self._ending:
            self._telling[threading.get_ident()] += 1
        try:
            left, kept = self._dispatcher.abandon()
            self._dispatcher.give_back_set_aside()
            self._outbox.tend()
            if left:
                self._report(left, reason, why.format(left=f"{len(left)} are lost"))
            if kept:
                stay = f"{kept} stay in the outbox, for the next process to deliver"
                self._hooks.warn_once(why.format(left=stay), kind=why)
        finally:
            with self._ending:
                self._telling[threading.get_ident()] -= 1  # a hook may lead to another end
                self._telling += Counter()  # without those that are through
                self._told.notify_all()

    def _let_others_tell(self) -> None:
        """Wait a moment for threads that say what they have given up: the process ends."""
        own = {threading.get_ident()}
        with self._ending:
            self._told.wait_for(lambda: not self._telling.keys() - own, LAST_WORDS)

    def _give_up(self, entries: Sequence[Entry], reason: DropReason, why: str) -> None:
        self._dispatcher.lose(len(entries))
        self._report(entries, reason, why)

    def _report(self, entries: Sequence[Entry], reason: DropReason, why: str) -> None:
        self._hooks.drop((entry.event for entry in entries), reason, why, count=len(entries))

    # Threads

    def _add_thread(self, *, most: int) -> bool:
        """Start one more thread unless there are enough; False if none can be started."""
        if not self._threads:  # before the lock: some of it logs, or ends objects of others
            lifecycle.first_event()
            uwsgi_threads.warn_if_off()
            guard.look_for_runner()  # it may be through by the time that something is sent
        with self._starting:
            return len(self._threads) >= most or self._start_thread()

    def _start_thread(self) -> bool:
        spare = bool(self._threads)
        thread = threading.Thread(
            target=self._run, args=(spare,), name="datalyr-sender", daemon=True
        )
        if spare:
            self._spares.add(thread)
        self._threads.add(thread)
        started = False
        try:
            thread.start()
            started = True
        except RuntimeError:  # the interpreter is exiting, or the system has no more threads
            pass
        finally:
            # Also when a signal's handler raises here. Should it run all the same, it ends.
            if not started:
                self._threads.discard(thread)
                self._spares.discard(thread)
        return started

    def _run(self, spare: bool) -> None:
        """Send until there is no more need of this thread.

        Args:
            spare: Whether others send, and it is there in case that they are slow.
        """
        uwsgi_signals.leave_to_main_thread()
        try:
            lease = self._stand_by() if spare else self._next()
            while lease:
                while lease:
                    self._call_for_help()
                    lease = self._send(lease, follow=self._is_untended)
                lease = self._next()
        finally:
            self._threads.discard(threading.current_thread())
            if self._stopping:  # what came back since was set aside for a pass that never comes
                self._dispatcher.give_back_set_aside()
            self._outbox.tend()
            if not self._threads and self._outbox.waiting and not self._stopping:
                self._add_thread(most=1)  # this one was made to end by somebody else's code
            if self._retired and not self._threads:
                self._outbox.abandon()  # nothing of its own is left
                self._close_transport()

    def _call_for_help(self) -> None:
        """Have one more thread stand by while events wait and each one is busy."""
        threads = len(self._threads)
        if threads < self._most and self._dispatcher.crowded(threads):
            self._add_thread(most=self._most)

    def _stand_by(self) -> Lease | None:
        """Wait until this thread helps others; then it is one of them."""
        thread = threading.current_thread()

        def is_over() -> bool:  # also when it has been left alone by those that it is to help
            return self._is_ended() or len(self._threads) <= len(self._spares)

        try:
            lease = self._dispatcher.stand_by(is_over)
        finally:
            self._spares.discard(thread)
        return lease or self._next()

    def _next(self) -> Lease | None:
        """Wait for events to send, and tend outbox and outlet meanwhile; None to end."""
        rest = self._outlet.rest
        while True:
            pause = self._tended()
            self._is_untended = pause is None
            if rest:
                pause = REST if pause is None else min(pause, REST)
            till = None if pause is None else self._clock.now() + pause
            lease = self._dispatcher.next(self._superfluous, deadline=till)
            if lease or threading.current_thread() not in self._threads:
                return lease
            if rest is not None:
                rest()

    def _tended(self) -> float | None:
        """Tend the outbox; what it has taken over has waited enough, and no pass may be due."""
        self._report_evicted()
        before = self._outbox.taken_over
        pause = self._outbox.tend()
        if self._outbox.taken_over > before:
            self._dispatcher.want_pass(hurry=False)
        return pause

    def _superfluous(self) -> bool:
        """Tell whether the thread that asks may end; asked under the dispatcher's lock.

        It leaves the set here, so that of two that ask one after the other the second
        knows that it is the last, and stays: somebody has to send the next event.
        """
        thread = threading.current_thread()
        free = len(self._threads) - len(self._spares) - self._dispatcher.busy
        if self._is_ended() or (free > 1 and not self._dispatcher.running):
            self._threads.discard(thread)
        return thread not in self._threads

    def _is_ended(self) -> bool:
        return self._stopping or (self._retired and not len(self._outbox))

    def _send(self, lease: Lease, *, follow: bool = False) -> Lease | None:
        """Send some events; return the next if they are to follow and can at once."""
        bodies = [entry.body for entry in lease[0]]
        try:
            answer: Any = self._outlet.send(bodies)
        except TransportError as error:
            answer = error
        except Exception as error:  # a transport of the application's own may raise anything
            answer = TransportError(f"{type(error).__name__}: {error}")
        except BaseException as error:  # this thread is made to end; its events are not
            self._dispatcher.conclude(lease, TransportError(f"{type(error).__name__}: {error}"))
            raise
        answer = checked(answer)  # or answer anything
        if self._config.debug:
            told = b"\n".join(bodies)
            logger.debug("%s", self._config.without_key(f"sent {told!r}: {answer!r}"))
        return self._dispatcher.conclude(lease, answer, follow=follow)
