"""The dispatcher: which event is tried when, and what becomes of it. It does no I/O.

Events go out in passes. A pass begins when enough events wait, when some time has gone by
or when somebody flushes, and ends when nothing is left to try. A failed event goes back to
its place in the outbox and the gate decides when the next try may be, so no thread sleeps
on behalf of one event. An event that has used up its retries is set aside until the next
pass; one more event is then tried, to tell a bad event from an ingest that is down.

Everything is decided under one lock; what a decision leads to (hooks, logging) is returned
as a list of actions, for the caller to run without it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from datalyr_core.config import Config
from datalyr_core.delivery.base import Reply
from datalyr_core.errors import TransportError
from datalyr_core.event import DropReason
from datalyr_core.gate import Gate
from datalyr_core.hooks import Hooks
from datalyr_core.outbox.base import Entry, Outbox
from datalyr_core.retry import Outcome, backoff, outcome_of, retry_after

logger = logging.getLogger("datalyr")

MAX_FAILED_FLUSHES = 10
# A second thread joins only where it helps: an ingest that answers sooner than SLOW is
# served faster by one thread than by ten that contend for the interpreter.
SLOW = 0.003  # seconds
JOIN_AFTER = 0.01  # seconds after which a send that is under way counts as slow

Action = Callable[[], Any]
Answer = Reply | TransportError
Lease = tuple[Entry, int]  # an event to send, and the number of the probe that it is, or 0


class Dispatcher:
    """Hand out events and settle them."""

    def __init__(self, config: Config, outbox: Outbox, hooks: Hooks) -> None:
        """Begin idle."""
        self._config = config
        self._outbox = outbox
        self._hooks = hooks
        # The condition's lock is re-entrant: a finalizer may run while this thread holds it.
        self._cond = threading.Condition()
        self._gate = Gate()
        self._sending: dict[int, float] = {}  # since when each entry is on its way
        self._quickest = 0.0  # how fast the ingest answers when nothing else is in the way
        self._running = False  # whether a pass is under way
        self._begun = self._ended = self._wanted = 0  # passes
        self._due_at = time.monotonic() + config.flush_interval
        self._aside: list[Entry] = []  # used up their retries in this pass
        self._delayed: dict[int, float] = {}  # until when entries wait for their next try
        self._resting = 0  # threads that wait for something to come
        self._fruitless = False  # whether the last thing that happened was that
        self._reporting: set[int] = set()  # threads that are calling hooks
        self._in_trouble = False  # whether the log says that the ingest fails
        self.delivered = self.retried = self.lost = 0

    # Passes

    def wake(self) -> None:
        """Look again whether a pass is due."""
        with self._cond:
            self._cond.notify_all()

    def want_pass(self, *, hurry: bool) -> int:
        """Have a whole pass made from here on.

        Args:
            hurry: Whether it may begin before our own backoff is over.

        Returns:
            Its number, for `wait_for_pass`.
        """
        with self._cond:
            self._wanted = max(self._wanted, self._begun + 1)
            if hurry:
                self._gate.hurry()
                self._delayed.clear()
            self._cond.notify_all()
            return self._wanted

    def wait_for_pass(self, number: int, deadline: float | None) -> bool:
        """Wait until a pass is over and its hooks were called; False if the deadline came first."""
        with self._cond:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            if left is not None:
                left = min(left, threading.TIMEOUT_MAX)
            return self._cond.wait_for(lambda: self.pass_is_over(number), left)

    def pass_is_over(self, number: int) -> bool:
        """Tell whether a pass has ended, or nothing is left to deliver or to report."""
        return not self.unfinished() if self._ended < number else not self._others_report()

    def unfinished(self) -> bool:
        """Tell whether there is anything to wait for."""
        return len(self._outbox) > 0 or self._others_report()

    def lose(self, count: int) -> None:
        """Count accepted events that are given up."""
        with self._cond:
            self.lost += count

    def _others_report(self) -> bool:
        """Tell whether other threads are calling hooks; a hook may wait for all but itself."""
        return bool(self._reporting - {threading.get_ident()})

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the calling thread wait, from within a hook perhaps.

        Nobody waits for its hook meanwhile: two hooks would wait for each other.
        """
        thread = threading.get_ident()
        with self._cond:
            was_reporting = thread in self._reporting
            self._reporting.discard(thread)
            self._cond.notify_all()
        try:
            yield
        finally:
            if was_reporting:
                with self._cond:
                    self._reporting.add(thread)

    @property
    def idle(self) -> bool:
        """Tell whether no pass is under way."""
        return not self._running

    @property
    def needs_waking(self) -> bool:
        """Tell whether events that come now would not be noticed; asked without the lock.

        A thread that rests has looked once more after it said so: what came before is seen.
        """
        return self._resting > 0 and not self._gate.failures

    @property
    def busy(self) -> int:
        """Return how many threads send or call hooks, and notice nothing meanwhile."""
        return len(self._sending) + len(self._reporting)

    def crowded(self, threads: int) -> bool:
        """Tell whether events wait while each of some threads is busy."""
        return threads <= self.busy and self._outbox.waiting > 0

    # Handing out

    def next(
        self, done: Callable[[], bool], *, joining: bool, deadline: float | None = None
    ) -> Lease | None:
        """Wait for an event to send.

        Args:
            done: Says when to stop waiting; asked with the lock held.
            joining: Whether the thread comes in addition to others that are sending.
            deadline: When to stop waiting, on the monotonic clock.

        Returns:
            An event to send, or None when there is no more to do.
        """
        with self._cond:
            lease, resting = None, False
            while not (lease or done() or _is_past(deadline)):
                now = time.monotonic()
                lease = self._try(now, joining)
                if lease or done():  # the pass may have ended just now
                    break
                pause = self._pause(now, deadline)
                rests = pause is None or pause > JOIN_AFTER
                if resting or not rests:
                    self._cond.wait(pause)
                # A thread that begins to rest says so, and looks once more before it does.
                self._resting += rests - resting
                resting = rests
            self._resting -= resting
            return lease

    def _try(self, now: float, joining: bool) -> Lease | None:
        """Begin a pass if one is due, and hand out an event if one can go."""
        if not self._running and self._due(now):
            self._running, self._begun = True, self._begun + 1
        return self._lease(now, joining) if self._running else None

    def _due(self, now: float) -> bool:
        """Tell whether a pass should begin."""
        if self._wanted > self._begun:
            return True
        waiting = self._outbox.waiting
        if now >= self._due_at:
            self._due_at = now + self._config.flush_interval
            return waiting > 0
        return waiting >= self._config.flush_at and not self._gate.failures

    def _lease(self, now: float, joining: bool) -> Lease | None:
        if not self._outbox.waiting and not self._sending:
            self._end_pass(now)
            return None
        if not self._gate.admits(now) or (joining and not self._slow(now)):
            return None
        if self._delayed:
            self._delayed = {each: till for each, till in self._delayed.items() if till > now}
        entry = self._outbox.lease(patient=self._gate.failures > 0, unless=self._delayed)
        if entry is None:
            return None
        self._sending[entry.number] = now
        return entry, self._gate.enter()

    def _slow(self, now: float) -> bool:
        """Tell whether another thread helps those that are sending."""
        if not self._sending or self._quickest >= SLOW:
            return True
        return now - min(self._sending.values()) >= JOIN_AFTER

    def _pause(self, now: float, deadline: float | None) -> float | None:
        """Return how long to wait for something to happen, None for as long as it takes."""
        if not self._running:
            pause: float | None = 0.0 if self._wanted > self._begun else self._due_at - now
        elif self._gate.failures and not self._gate.admits(now):
            pause = self._gate.wait(now)
        elif self._outbox.waiting > len(self._delayed):
            pause = JOIN_AFTER
        else:
            pause = max(min(self._delayed.values()) - now, JOIN_AFTER) if self._delayed else None
        if deadline is not None:
            pause = min(deadline - now, deadline - now if pause is None else pause)
        return None if pause is None else min(max(pause, 0.0), threading.TIMEOUT_MAX)

    def _end_pass(self, now: float) -> None:
        for entry in self._aside:
            self._outbox.give_back(entry)
        self._aside.clear()
        self._running = self._fruitless = False
        self._ended = self._begun
        self._due_at = now + self._config.flush_interval
        self._cond.notify_all()

    # Settling

    def conclude(self, lease: Lease, answer: Answer) -> None:
        """Settle an event or plan its next try, and then say what there is to say.

        Args:
            lease: What was sent.
            answer: What came of it.
        """
        thread = threading.get_ident()
        with self._cond:
            actions = self._settled(lease, answer)
            if actions:
                self._reporting.add(thread)
        if not actions:
            return
        try:
            for act in actions:
                act()
        finally:
            with self._cond:
                self._reporting.discard(thread)
                self._cond.notify_all()

    def _settled(self, lease: Lease, answer: Answer) -> Sequence[Action]:
        """Decide, and return what to do about it once the lock is released."""
        entry, probe = lease
        now = time.monotonic()
        took = now - self._sending.pop(entry.number, now)
        # The least of late, so that a moment without the interpreter does not count.
        self._quickest = min(took, 1.5 * self._quickest + SLOW / 4)
        if isinstance(answer, Reply):
            outcome = outcome_of(answer.status)
            if outcome is not Outcome.TRANSIENT:
                return self._answered(entry, probe, answer, outcome, now)
        return self._failed(entry, probe, answer, now)

    def _answered(
        self, entry: Entry, probe: int, answer: Reply, outcome: Outcome, now: float
    ) -> list[Action]:
        """Settle an event that the ingest took or refused: either way it is there."""
        actions = self._recovered(probe, now)
        held = self._outbox.settle(entry)
        if not len(self._outbox):
            self._cond.notify_all()
        if not held:  # given up at a deadline meanwhile, and counted there
            return actions
        if outcome is Outcome.DELIVERED:
            self.delivered += 1
            return actions
        self.lost += 1
        return [*actions, lambda: self._report_refusal(entry, answer)]

    def _recovered(self, probe: int, now: float) -> list[Action]:
        if not self._gate.failures:
            return []
        self._gate.succeeded(probe=probe, now=now)
        self._fruitless = False
        self._cond.notify_all()
        if self._gate.failures or not self._in_trouble:
            return []
        self._in_trouble = False
        return [lambda: logger.warning("the ingest answers again; %d wait", len(self._outbox))]

    def _failed(self, entry: Entry, probe: int, answer: Answer, now: float) -> list[Action]:
        entry.attempts += 1
        used_up = entry.attempts > self._config.retry_limit
        wait = self._close_gate(1 if used_up else entry.attempts, probe, answer, now)
        self._cond.notify_all()
        if not self._outbox.holds(entry):  # given up at a deadline meanwhile
            return []
        actions = self._trouble(answer) if used_up or self._gate.failures > 1 else []
        if used_up:
            actions += self._set_aside(entry, answer)
        else:
            self.retried += 1
            self._delayed[entry.number] = now + wait
            self._outbox.give_back(entry)
            if self._fruitless and probe and not self._sending:
                entry.attempts = 0  # it only served to tell that the ingest is down
                self._end_pass(now)
        return actions

    def _close_gate(self, attempts: int, probe: int, answer: Answer, now: float) -> float:
        """Hold back, and return how long this event is to wait by our own rule."""
        asked = retry_after(answer.headers, time.time()) if isinstance(answer, Reply) else 0.0
        wait = backoff(attempts, random.random())  # noqa: S311 - jitter, not a secret
        self._gate.failed(probe=probe, now=now, wait=wait, asked=asked)
        return wait

    def _set_aside(self, entry: Entry, answer: Answer) -> list[Action]:
        """Keep an event that used up its retries for the next pass, unless that was the last."""
        entry.attempts = 0
        entry.failed_flushes += 1
        again = self._fruitless
        self._fruitless = True
        actions: list[Action] = [lambda: self._hooks.error(entry.event, self._as_error(answer))]
        if entry.failed_flushes < MAX_FAILED_FLUSHES:
            self._aside.append(entry)
        elif self._outbox.settle(entry):  # pragma: no branch - or close() has just taken it
            self.lost += 1
            kind = f"{MAX_FAILED_FLUSHES} flushes failed"
            why = f"{kind}, the last with: {self._told(answer)}"
            actions.append(
                lambda: self._hooks.drop(
                    [entry.event], DropReason.MAX_FLUSH_ATTEMPTS, why, kind=kind
                )
            )
        if again and not self._sending:
            self._end_pass(time.monotonic())
        return actions

    # Saying

    def _trouble(self, answer: Answer) -> list[Action]:
        if self._in_trouble:
            return []
        self._in_trouble = True
        told = self._told(answer)
        return [lambda: logger.warning("the ingest fails (%s); events wait", told)]

    def _report_refusal(self, entry: Entry, reply: Reply) -> None:
        if reply.status in (401, 403):
            self._hooks.warn_once(
                f"the ingest refuses the API key (HTTP {reply.status}): check api_key; "
                "events are being dropped",
                logging.ERROR,
                kind="the key is refused",
            )
        event = entry.event
        self._hooks.error(event, self._as_error(reply))
        kind = f"HTTP {reply.status}"
        why = self._told(reply)
        self._hooks.drop([event], DropReason.PERMANENT_CLIENT_ERROR, why, kind=kind)

    def _told(self, answer: Answer) -> str:
        """Say what came, without the key, which an answer or an error may repeat."""
        if isinstance(answer, TransportError):
            return self._config.without_key(str(answer))
        return f"HTTP {answer.status} {self._config.without_key(answer.text)[:200]!r}"

    def _as_error(self, answer: Answer) -> Exception:
        told = self._told(answer)
        if isinstance(answer, TransportError) and str(answer) == told:
            return answer
        return TransportError(told)


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline
