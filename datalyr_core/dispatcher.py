"""The dispatcher: which event is tried when, and what becomes of it. It does no I/O.

Events go out in passes. A pass begins when enough events wait, when some time has gone by
or when somebody flushes, and ends when nothing is left to try. A failed event goes back to
its place in the outbox and the gate decides when the next try may be, so no thread sleeps
on behalf of one event. An event that has used up its retries is set aside until the next
pass; one more event is then tried, to tell a bad event from an ingest that is down. What a
transport takes in one go is handed out together and has one answer: over HTTP one event, to
a broker as many as a message holds.

Everything is decided under one lock; what a decision leads to (hooks, logging) is returned
as a list of actions, for the caller to run without it.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from datalyr_core.clock import Clock
from datalyr_core.config import Config
from datalyr_core.delivery.base import ONE, Batch, Reply
from datalyr_core.errors import SendRefused, TransportError, Unavailable
from datalyr_core.event import DropReason
from datalyr_core.gate import Gate
from datalyr_core.hooks import Hooks
from datalyr_core.outbox.base import Entry, Outbox, is_owned
from datalyr_core.retry import Outcome, backoff, outcome_of, retry_after

logger = logging.getLogger("datalyr")

MAX_FAILED_FLUSHES = 10
# A second thread joins only where it helps: an ingest that answers sooner than SLOW is
# served faster by one thread than by ten that contend for the interpreter.
SLOW = 0.003  # seconds
JOIN_AFTER = 0.01  # seconds after which a send that is under way counts as slow
WATCH = 0.05  # seconds between two looks of a thread that stands by while nothing is sent
NAP = 0.05  # seconds that a thread which would rest lets events come, where many do
STAND_BY = 1.0  # seconds that it does so after the last pass has begun

Action = Callable[[], Any]
Answer = Reply | TransportError
# Events to send in one go, and the number of the probe that they are, or 0.
Lease = tuple[Sequence[Entry], int]


class Bell(threading.Condition):
    """A condition that can be notified in the middle of being notified.

    A finalizer that tracks does so, and a signal's handler, in the thread that holds the lock.
    """

    _ringing = _again = False

    def notify_all(self) -> None:
        """Wake everybody who waits."""
        self._again = True
        if self._ringing:
            return
        self._ringing = True
        try:
            while self._again:
                self._again = False
                super().notify_all()
        finally:
            self._ringing = False


class Dispatcher:
    """Hand out events and settle them.

    Attributes:
        running: Whether a pass is under way.
        delivered: How many events the ingest took.
        retried: How many sends were tried again.
        lost: How many accepted events were given up.
    """

    def __init__(
        self, config: Config, outbox: Outbox, hooks: Hooks, clock: Clock, batch: Batch = ONE
    ) -> None:
        """Begin idle."""
        self._config = config
        self._clock = clock
        self._batch = batch
        self._outbox = outbox
        self._hooks = hooks
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._lock = threading.RLock()
        self._cond = Bell(self._lock)
        self._room = Bell(self._lock)  # of those who wait to put more in
        self._waiting_for_room = 0  # how many they are
        self._unheard = threading.Condition(self._lock)  # of who stands by; it never rings
        self._open = True  # until the client is closed or the process ends
        self._gate = Gate()
        self._sending: dict[int, float] = {}  # since when each lease is, by its first entry
        self._quickest = 0.0  # how fast the ingest answers when nothing else is in the way
        self.running = False
        self._thorough = True  # whether it goes on until nothing is left
        self._enough = 1  # how many have to wait for it to go on
        self._begun = self._ended = self._wanted = 0  # passes
        self._ended_at = float("-inf")  # when the last pass did
        self._due_at = self._clock.now() + config.flush_interval
        self._aside: list[Entry] = []  # used up their retries in this pass
        self._delayed: dict[int, float] = {}  # until when entries wait for their next try
        self._resting = 0  # threads that wait for something to come
        # For larger messages; not where one event is to go out at once, or each by itself.
        self._may_nap = batch is not ONE and config.flush_at > 1
        self._brisk = False  # whether the last pass soon followed the one before
        self._napping = False  # whether a thread looks again in a moment, without being told
        self._woken = False  # whether one of them was told, and has not looked yet
        self._fruitless = False  # whether the last thing that happened was that
        self._tries = 0  # that failed in a row in this pass, since it began or one was set aside
        self._answered_before = 0  # how many events the ingest had answered when the pass began
        self._reporting: set[int] = set()  # threads that are calling hooks
        self._in_trouble = False  # whether the log says that the ingest fails
        self._remedy = ""  # what the log says that an operator has to do about it
        self.delivered = self.retried = self.lost = self._answers = 0

    def _is_past(self, deadline: float | None) -> bool:
        return deadline is not None and self._clock.now() >= deadline

    # Passes

    def wake(self) -> None:
        """Look again whether a pass is due."""
        with self._lock:
            self._cond.notify_all()
            self._woken = True  # last: a signal's handler that raises in between changes nothing

    def want_pass(self, *, hurry: bool) -> int:
        """Have a whole pass made from here on.

        Args:
            hurry: Whether it may begin before our own backoff is over.

        Returns:
            Its number, for `wait_for_pass`.
        """
        with self._lock:
            self._wanted = max(self._wanted, self._begun + 1)
            if hurry:
                self._gate.hurry()
                self._delayed = {}
            self._cond.notify_all()
            return self._wanted

    def wait_for_pass(self, number: int, deadline: float | None) -> bool:
        """Wait until a pass is over and its hooks were called; False if the deadline came first."""
        with self._lock:
            left = None if deadline is None else max(deadline - self._clock.now(), 0.0)
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
        with self._lock:
            self.lost += count

    def abandon(self) -> tuple[Sequence[Entry], int]:
        """Give up everything, and count it: who finds nothing left also finds it counted.

        Returns:
            What is lost, and how many events stay in the outbox for others.
        """
        with self._lock:
            before = self._outbox.kept
            left = self._outbox.abandon()
            self.lost += len(left)
            return left, self._outbox.kept - before

    def wait_for_room(self, seconds: float | None) -> None:
        """Wait until the outbox has room for a good many events, if it has none.

        One at a time would be slower: each would wake the thread that brings them.

        Args:
            seconds: How long to wait at most; as long as it takes by default.
        """
        if self._is_nearly_empty():
            return
        with self._lock:
            if threading.get_ident() in self._reporting or len(self._outbox) < self._outbox.limit:
                return  # a hook that waits would keep the thread that makes room
            most = None if seconds is None else min(seconds, threading.TIMEOUT_MAX)
            self._waiting_for_room += 1
            try:
                self._room.wait_for(lambda: not self._open or self._is_roomy(), most)
            finally:
                self._waiting_for_room -= 1

    def _is_nearly_empty(self) -> bool:
        """Tell that there is room for sure; asked without the lock, for which others would wait."""
        leased = len(self._aside) + self._config.concurrency * self._batch.events
        return self._outbox.waiting + leased < self._outbox.limit

    def end_waits_for_room(self) -> None:
        """Let nobody wait for room any more."""
        with self._lock:
            self._open = False
            self._room.notify_all()

    def _is_roomy(self) -> bool:
        return len(self._outbox) <= self._outbox.limit * 3 // 4

    def _others_report(self) -> bool:
        """Tell whether other threads are calling hooks; a hook may wait for all but itself."""
        return bool(self._reporting - {threading.get_ident()})

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let the calling thread wait, from within a hook perhaps.

        Nobody waits for its hook meanwhile: two hooks would wait for each other.
        """
        thread = threading.get_ident()
        with self._lock:
            was_reporting = thread in self._reporting
            self._reporting.discard(thread)
            self._cond.notify_all()
        try:
            yield
        finally:
            if was_reporting:
                with self._lock:
                    self._reporting.add(thread)

    @property
    def in_trouble(self) -> bool:
        """Tell whether the ingest fails, as the log says it."""
        return self._in_trouble

    @property
    def needs_waking(self) -> bool:
        """Tell whether events that come now would not be noticed; asked without the lock.

        A thread that rests has looked once more after it said so: what came before is seen. One
        that was told looks as soon as it can, and is not told for each event until then.
        """
        # One that naps is told long before what has come has to make room for what comes next.
        listens = self._resting > 0 or (
            self._napping and self._outbox.waiting >= self._outbox.limit // 10
        )
        return listens and not self._woken and not self._gate.failures

    @property
    def is_locked_here(self) -> bool:
        """Tell whether this very thread is in the middle of something."""
        return is_owned(self._lock)

    @property
    def busy(self) -> int:
        """Return how many threads send or call hooks, and notice nothing meanwhile."""
        return len(self._sending) + len(self._reporting)

    def crowded(self, threads: int) -> bool:
        """Tell whether events wait while each of some threads is busy."""
        return threads <= self.busy and self._outbox.waiting > 0

    # Handing out

    def next(self, done: Callable[[], bool], *, deadline: float | None = None) -> Lease | None:
        """Wait for events to send.

        Args:
            done: Says when to stop waiting; asked with the lock held.
            deadline: When to stop waiting, on the monotonic clock.

        Returns:
            Events to send, or None when there is no more to do.
        """
        with self._lock:
            lease, resting = None, False
            while not (lease or done() or self._is_past(deadline)):
                now = self._clock.now()
                self._woken = False  # before it looks: what comes from here on wakes it again
                lease = self._try(now)
                if lease or done():  # the pass may have ended just now
                    break
                pause = self._pause(now, deadline)
                rests = pause is None or pause > JOIN_AFTER
                if self._woken:  # a finalizer of this very thread has told it meanwhile
                    continue
                if self._brisk and not self.running and not resting:
                    self._nap(pause)
                    continue
                if resting or not rests:
                    self._clock.wait(self._cond, pause)
                # A thread that begins to rest says so, and looks once more before it does.
                self._resting += rests - resting
                resting = rests
            self._resting -= resting
            return lease

    def _nap(self, pause: float | None) -> None:
        """Let events come for a moment: to wake a thread costs more than to send an event."""
        self._brisk, self._napping = False, True
        try:
            self._clock.wait(self._cond, NAP if pause is None else min(pause, NAP))
        finally:
            self._napping = False

    def stand_by(self, done: Callable[[], bool]) -> Lease | None:
        """Watch those that send, for events to help them with.

        Nobody wakes the thread that does so, which looks by itself: where all is quick, it is
        there and costs next to nothing, and its start is not paid in each pass anew.

        Args:
            done: Says when to stop; asked with the lock held.

        Returns:
            Events to send, or None when no pass has begun for a while, or the ingest fails.
        """
        with self._lock:
            passes, until = 0, 0.0
            while not (done() or self._gate.failures):
                now = self._clock.now()
                if passes != self._begun:
                    passes, until = self._begun, now + STAND_BY
                if self._slow(now) and (lease := self._try(now)):
                    return lease
                if now >= until and not self.running:
                    break
                self._clock.wait(self._unheard, JOIN_AFTER if self.busy else WATCH)
            return None

    def _try(self, now: float) -> Lease | None:
        """Begin a pass if one is due, and hand out what can go."""
        if not self.running and self._due(now):
            # That it begins as soon as this after the last one says that events come all the time.
            self._brisk = self._may_nap and now - self._ended_at < 1.2 * NAP
            # Somebody waits for all of it; or there is nothing to gain by waiting for more.
            self._thorough = self._wanted > self._begun or self._batch is ONE
            self._enough = 1
            self.running, self._begun = True, self._begun + 1
            self._answered_before = self._answers
        return self._lease(now) if self.running else None

    def _due(self, now: float) -> bool:
        """Tell whether a pass should begin."""
        if self._wanted > self._begun:
            return True
        waiting = self._outbox.waiting
        if now >= self._due_at:
            self._due_at = now + self._config.flush_interval
            return waiting > 0
        return waiting >= self._config.flush_at and not self._gate.failures

    def _lease(self, now: float) -> Lease | None:
        if self._outbox.waiting < self._enough and not self._sending:
            self._end_pass(now)
            return None
        if self._gate.failures and not self._gate.admits(now):
            return None
        if self._delayed:
            # Of a copy, here and below: a finalizer that flushes may come in between.
            self._delayed = {
                each: till for each, till in self._delayed.copy().items() if till > now
            }
        entries = self._leased()
        if not entries:
            return None
        self._sending[entries[0].number] = now
        return entries, self._gate.enter()

    def _leased(self) -> list[Entry]:
        """Lease what goes out in one go: one event, however long, or as many as are taken."""
        first = self._outbox.lease(patient=self._gate.failures > 0, unless=self._delayed)
        if first is None:
            return []
        entries, size = [first], len(first.body)
        while len(entries) < self._batch.events:
            entry = self._outbox.lease(patient=False, unless=self._delayed)
            if entry is None:
                break
            size += len(entry.body)
            if size > self._batch.size:
                self._outbox.give_back(entry)
                break
            entries.append(entry)
        return entries

    def _slow(self, now: float) -> bool:
        """Tell whether another thread helps those that are busy; a hook may take any time."""
        if self._quickest >= SLOW or self._reporting:
            return True
        return now - min(self._sending.copy().values(), default=now) >= JOIN_AFTER

    def _pause(self, now: float, deadline: float | None) -> float | None:
        """Return how long to wait for something to happen, None for as long as it takes."""
        if not self.running:
            pause: float | None = 0.0 if self._wanted > self._begun else self._due_at - now
        elif self._gate.failures and not self._gate.admits(now):
            pause = self._gate.wait(now)
        elif self._outbox.waiting > len(self._delayed):
            pause = JOIN_AFTER
        else:
            pause = self._until_delayed(now)
        if deadline is not None:
            pause = min(deadline - now, deadline - now if pause is None else pause)
        return None if pause is None else min(max(pause, 0.0), threading.TIMEOUT_MAX)

    def _until_delayed(self, now: float) -> float | None:
        till = min(self._delayed.copy().values(), default=None)
        return None if till is None else max(till - now, JOIN_AFTER)

    def give_back_set_aside(self) -> None:
        """Give back what waits for the next pass, when there will be none."""
        with self._lock:
            while self._aside:
                self._outbox.give_back(self._aside.pop())

    def _end_pass(self, now: float) -> None:
        for entry in self._aside:
            if self._outbox.durable and self._answers == self._answered_before:
                # Nothing gets through: it is no fault of the event. What could not be reached
                # has not counted in the first place.
                entry.failed_flushes = max(entry.failed_flushes - 1, 0)
            self._outbox.give_back(entry)
        self._aside.clear()
        self.running = self._fruitless = False
        self._tries = 0
        self._ended, self._ended_at = self._begun, now
        self._due_at = now + self._config.flush_interval
        self._cond.notify_all()

    # Settling

    def conclude(self, lease: Lease, answer: Answer, *, follow: bool = False) -> Lease | None:
        """Settle events or plan their next try, and then say what there is to say.

        Args:
            lease: What was sent.
            answer: What came of it.
            follow: Whether the thread would send more at once, without looking after anything.

        Returns:
            What it is to send at once; None if it has to ask `next`.
        """
        with self._lock:
            now = self._clock.now()
            actions = self._settled(lease, answer, now)
            if not actions:
                return self._lease(now) if follow and self.running else None
            thread = threading.get_ident()
            self._reporting.add(thread)
        try:
            for act in actions:
                act()
        finally:
            with self._lock:
                self._reporting.discard(thread)
                self._cond.notify_all()
        return None

    def _settled(self, lease: Lease, answer: Answer, now: float) -> Sequence[Action]:
        """Decide, and return what to do about it once the lock is released."""
        entries, probe = lease
        took = now - self._sending.pop(entries[0].number, now)
        # The least of late, so that a moment without the interpreter does not count.
        self._quickest = min(took, 1.5 * self._quickest + SLOW / 4)
        outcome = _outcome(answer)
        # What has come while a message was on its way is left to become a larger one.
        full = self._thorough or outcome is Outcome.TRANSIENT
        self._enough = 1 if full else self._config.flush_at
        if outcome is Outcome.TRANSIENT:
            return self._failed(entries, probe, answer, now)
        return self._answered(entries, probe, answer, outcome, now)

    def _answered(
        self, entries: Sequence[Entry], probe: int, answer: Answer, outcome: Outcome, now: float
    ) -> Sequence[Action]:
        """Settle events that were taken or refused: either way somebody is there."""
        self._answers += 1
        actions: Sequence[Action] = self._recovered(probe, now) if self._gate.failures else ()
        # Without those that were given up at a deadline meanwhile, and counted there.
        if outcome is Outcome.DELIVERED:
            self.delivered += sum(map(self._outbox.settle, entries))
        else:
            refused = [entry for entry in entries if self._refused(entry, answer)]
            self.lost += len(refused)
            reports = (partial(self._report_refusal, entry, answer) for entry in refused)
            actions = [*actions, *reports]
        if self._waiting_for_room and self._is_roomy():
            self._room.notify_all()
        if not len(self._outbox):
            self._cond.notify_all()
        return actions

    def _refused(self, entry: Entry, answer: Answer) -> bool:
        """Have the outbox forget an event for good; False if it was given up meanwhile."""
        status = answer.status if isinstance(answer, Reply) else None
        return self._outbox.refuse(entry, status, self._told(answer))

    def _recovered(self, probe: int, now: float) -> list[Action]:
        self._gate.succeeded(probe=probe, now=now)
        self._fruitless = False
        self._tries = 0
        self._cond.notify_all()
        if self._gate.failures or not self._in_trouble:
            return []
        self._in_trouble, self._remedy = False, ""
        self._outbox.note("")
        whom = self._config.destination
        return [lambda: logger.warning("%s answers again; %d wait", whom, len(self._outbox))]

    def _failed(
        self, entries: Sequence[Entry], probe: int, answer: Answer, now: float
    ) -> list[Action]:
        used_up = self._count_try(entries, probe)
        wait = self._close_gate(1 if used_up else entries[0].attempts, probe, answer, now)
        self._cond.notify_all()
        # Without those that were given up at a deadline meanwhile.
        held = [entry for entry in entries if self._outbox.holds(entry)]
        if not held:
            return []
        actions = self._trouble(answer) if used_up or self._gate.failures > 1 else []
        was_fruitless = self._fruitless
        self._fruitless = was_fruitless or used_up
        self.retried += not used_up
        for entry in held:
            if entry.attempts > self._config.retry_limit:
                actions += self._set_aside(entry, answer)
            else:
                self._delayed[entry.number] = now + wait
                self._outbox.give_back(entry)
        if was_fruitless and (used_up or probe) and not self._sending:
            for entry in held:
                entry.attempts = 0  # they only served to tell that the ingest is down
            self._end_pass(now)
        return actions

    def _count_try(self, entries: Sequence[Entry], probe: int) -> bool:
        """Count a failed send of some events; tell whether one has used up its retries."""
        counts = bool(probe) or not self._gate.failures
        self._tries += counts
        for entry in entries:
            entry.attempts += 1
            if counts:
                # Whose retry this is may not be the event of before: in a full queue that one has
                # made room for newer ones. The client holds back as a whole all the same.
                entry.attempts = max(entry.attempts, self._tries)
        return any(entry.attempts > self._config.retry_limit for entry in entries)

    def _close_gate(self, attempts: int, probe: int, answer: Answer, now: float) -> float:
        """Hold back, and return how long these events are to wait by our own rule."""
        asked = 0.0
        if isinstance(answer, Reply):
            asked = retry_after(answer.headers, self._clock.epoch())
        wait = backoff(attempts, random.random())  # noqa: S311 - jitter, not a secret
        self._gate.failed(probe=probe, now=now, wait=wait, asked=asked)
        return wait

    def _set_aside(self, entry: Entry, answer: Answer) -> list[Action]:
        """Keep an event that used up its retries for the next pass, unless that was the last."""
        entry.attempts = self._tries = 0
        # What cannot be reached says nothing of an event, however often.
        entry.failed_flushes += not isinstance(answer, Unavailable)
        actions: list[Action] = [lambda: self._hooks.error(entry.event, self._as_error(answer))]
        if self._outbox.patient or entry.failed_flushes < MAX_FAILED_FLUSHES:
            self._aside.append(entry)
        elif self._outbox.settle(entry):  # pragma: no branch - or close() has just taken it
            self.lost += 1
            self._room.notify_all()
            kind = f"{MAX_FAILED_FLUSHES} flushes failed"
            why = f"{kind}, the last with: {self._told(answer)}"
            actions.append(
                lambda: self._hooks.drop(
                    [entry.event], DropReason.MAX_FLUSH_ATTEMPTS, why, kind=kind
                )
            )
        return actions

    # Saying

    def _trouble(self, answer: Answer) -> list[Action]:
        remedy = answer.remedy if isinstance(answer, Unavailable) else ""
        if self._in_trouble and remedy in ("", self._remedy):
            return []
        self._in_trouble, self._remedy = True, remedy
        why = self._told(answer)
        self._outbox.note(why)
        told = f"{self._config.destination} fails ({why}); events wait"
        if remedy:
            return [lambda: logger.error("%s; %s", told, remedy)]
        return [lambda: logger.warning("%s", told)]

    def _report_refusal(self, entry: Entry, answer: Answer) -> None:
        status = answer.status if isinstance(answer, Reply) else None
        if status in (401, 403):
            self._hooks.warn_once(
                f"the ingest refuses the API key (HTTP {status}): check api_key; "
                f"{self._hooks.of_refused}",
                logging.ERROR,
                kind="the key is refused",
            )
        event = entry.event
        self._hooks.error(event, self._as_error(answer))
        why = self._told(answer)
        kind = why if status is None else f"HTTP {status}"
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


def _outcome(answer: Answer) -> Outcome:
    if isinstance(answer, Reply):
        return outcome_of(answer.status)
    return Outcome.PERMANENT if isinstance(answer, SendRefused) else Outcome.TRANSIENT
