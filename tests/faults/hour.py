"""Hours that pass on a simulated clock, for the product's own sender, queue, gate and hooks.

The clock stands still while anything is done. When the sender waits, or its transport does,
time goes on to the next moment at which something happens: an event is tracked, the ingest
answers, a wait is over. Nothing of the product is replaced; `Sender` takes a clock.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from datalyr_core import Config, Reply, TransportError
from datalyr_core.calls import track
from datalyr_core.clock import Clock
from datalyr_core.event import DropReason
from datalyr_core.hooks import Hooks
from datalyr_core.outbox.memory import MemoryOutbox
from datalyr_core.sender import Sender
from tests.faults.watching import LogLines, is_failure

HOUR = 3600.0
EPOCH = 1_780_000_000.0  # the date at which it begins

Answered = tuple[Reply | TransportError, float]  # and the seconds that it took
Ingest = Callable[[float], Answered]  # told the time

WELL: Answered = (Reply(200), 0.02)


class SimulatedClock(Clock):
    """A clock whose time passes when there is nothing else to do."""

    def __init__(self) -> None:
        self._time = 0.0
        self._agenda: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = itertools.count()
        self.over = threading.Event()

    def now(self) -> float:  # type: ignore[override]  # it is a method here
        return self._time

    def epoch(self) -> float:  # type: ignore[override]  # so is this
        return EPOCH + self._time

    def at(self, moment: float, act: Callable[[], Any]) -> None:
        """Have something done at a moment."""
        heapq.heappush(self._agenda, (moment, next(self._order), act))

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        if self.over.is_set():  # the end of the sender comes in real time
            condition.wait(seconds)
            return
        until = float("inf") if seconds is None else self._time + seconds
        self._step(until)  # after each thing that is done the sender looks again

    def pass_by(self, seconds: float) -> None:
        """Let time pass, and all happen that happens meanwhile."""
        until = self._time + seconds
        while self._time < until and not self.over.is_set():
            self._step(until)

    def _step(self, until: float) -> None:
        if self._agenda and self._agenda[0][0] <= until:
            self._time, _, act = heapq.heappop(self._agenda)
            act()
        elif until < float("inf"):
            self._time = until
        else:
            self.over.set()  # nothing will ever happen again


@dataclass
class Passed:
    """What came of some hours.

    Attributes:
        sends, failed, arrivals: When something was sent, was sent in vain for now and was taken,
            in seconds since the beginning.
        held: How many entries there were at most.
        arrived: How many different events the ingest took.
        again: How many arrived after they had arrived before.
        peak: Bytes at most, above what there was before.
    """

    sends: list[float] = field(default_factory=list)
    failed: list[float] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    held: int = 0
    arrived: int = 0
    again: int = 0
    accepted: int = 0
    delivered: int = 0
    waiting: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    peak: int = 0

    def between(self, begin: float, end: float) -> list[float]:
        """When something was sent in some time."""
        return [moment for moment in self.sends if begin <= moment < end]

    def busiest(self, begin: float, end: float) -> int:
        """How many sends the busiest minute of some time had."""
        return _busiest(self.between(begin, end))

    @property
    def busiest_in_vain(self) -> int:
        """How many sends at most were in vain within a minute."""
        return _busiest(self.failed)


def _busiest(moments: list[float]) -> int:
    return max(Counter(moment // 60 for moment in moments).values(), default=0)


class _Simulated:
    """The transport of a simulation."""

    def __init__(self, clock: SimulatedClock, ingest: Ingest, passed: Passed) -> None:
        self._clock = clock
        self._ingest = ingest
        self._passed = passed
        self._took = set[int]()

    def send(self, body: bytes) -> Reply:
        begun = self._clock.now()
        self._passed.sends.append(begun)
        answer, took = self._ingest(begun)
        self._clock.pass_by(took)
        if is_failure(answer):
            self._passed.failed.append(begun)
        if isinstance(answer, TransportError):
            # A new one each time: what is raised again keeps the frames of every time before.
            raise type(answer)(*answer.args)
        if answer.status < 300:
            known = hash(body)  # not the body: the memory that is measured is the client's
            self._passed.again += known in self._took
            self._took.add(known)
            self._passed.arrived = len(self._took)
            self._passed.arrivals.append(self._clock.now())
        return answer


def simulate(
    ingest: Ingest, *, moments: list[float], until: float, memory: bool = False, **options: Any
) -> Passed:
    """Let hours pass.

    Args:
        ingest: Says what it answers at a time, and in how many seconds.
        moments: When an event is tracked, in seconds since the beginning.
        until: When it is over.
        memory: Whether to measure what it takes, which makes it slow.
        options: The client's, beside `concurrency=1`.
    """
    config = Config(api_key="dk_test", concurrency=1, **options)
    clock, passed = SimulatedClock(), Passed()
    hooks, outbox = Hooks(config), MemoryOutbox(config.max_queue_size)
    transport = _Simulated(clock, ingest, passed)
    sender = Sender(config, outbox, transport, hooks, lambda: None, clock)

    def take() -> None:
        sender.put(track("user_1", "Signed Up", {"plan": "pro"}).to_body())
        passed.held = max(passed.held, len(outbox))

    # The first starts the sender's thread, which does all the rest.
    for moment in moments[1:]:
        clock.at(moment, take)
    clock.at(until, clock.over.set)
    with LogLines() as log:
        if memory:
            tracemalloc.start()
        take()
        if not clock.over.wait(300):
            raise TimeoutError("the simulation does not come to its end")
        if memory:
            passed.peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        passed.waiting = len(outbox)
        passed.accepted, passed.delivered = outbox.accepted, sender.delivered
        passed.lines = list(log.lines)
        sender.stop(0.0)
    passed.dropped = dict(hooks.dropped())
    passed.dropped.pop(DropReason.CLOSE_TIMEOUT, None)  # of `stop`; they are `waiting` here
    return passed


def spread(count: int, begin: float, end: float) -> list[float]:
    """Moments at equal distances."""
    return [begin + (end - begin) * number / count for number in range(count)]
