"""Outages of hours, on a simulated clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datalyr_core import Reply, TransportError
from tests.faults.fault import MOST_PER_MINUTE
from tests.faults.hour import HOUR, WELL, Answered, Ingest, Passed, simulate, spread
from tests.faults.sequences import two_minutes_of_five

BEGIN = 60.0  # the ingest is well before, and has taken one event
SETTLED = 90.0  # seconds after it in which all of what waited arrives; 60 may be asked for
REST = 600.0  # how long it is well afterwards; half of that for what waits, then one more event
QUEUE = 1000  # the default of `max_queue_size`


@dataclass(frozen=True)
class Outage:
    """An outage, and what has to come of it.

    Attributes:
        name: What the row is called.
        ingest: What the ingest does in that time, told the seconds since it began.
        hours: How long it lasts.
        events: How many are tracked meanwhile, at an even pace.
        dropped: How many are dropped, by reason, or a test of that.
        down: Whether the ingest is down all the time.
        most: How many sends there are in the busiest minute, at most.
    """

    name: str
    ingest: Ingest
    hours: float = 1
    events: int = 10_000
    dropped: Mapping[str, int] = field(default_factory=dict)
    down: bool = True
    most: int = MOST_PER_MINUTE
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def end(self) -> float:
        """When it is over, in seconds since the beginning."""
        return BEGIN + self.hours * HOUR

    def run(self) -> Passed:
        """Let it pass."""

        def ingest(now: float) -> Answered:
            return self.ingest(now - BEGIN) if BEGIN <= now < self.end else WELL

        moments = [0.0, *spread(self.events, BEGIN, self.end), self.end + REST / 2]
        return simulate(ingest, moments=moments, until=self.end + REST, **self.options)

    def per_minute(self, passed: Passed) -> float:
        """How many sends there were a minute."""
        return len(passed.between(BEGIN, self.end)) / self.hours / 60

    def busiest(self, passed: Passed) -> int:
        """How many sends there were in the busiest minute, or how many of them in vain."""
        return passed.busiest(BEGIN, self.end) if self.down else passed.busiest_in_vain

    def settled(self, passed: Passed) -> float:
        """How many seconds after the outage the last of what waited had arrived."""
        return max(each for each in passed.arrivals if each < self.end + REST / 2) - self.end

    def misses(self, passed: Passed) -> list[str]:
        """Say what is not as it has to be; nothing if all is well."""
        tracked = self.events + 2  # one before, one after
        lost = sum(passed.dropped.values())
        begun, over = (
            sum(text in line for line in passed.lines)
            for text in ("the ingest fails", "the ingest answers again")
        )
        checks = {
            f"dropped {passed.dropped}": passed.dropped == dict(self.dropped),
            f"{passed.accepted} accepted": passed.accepted == tracked,
            "some are not accounted for": passed.accepted == passed.arrived + lost,
            f"{passed.waiting} still wait": passed.waiting == 0,
            f"{passed.again} arrived again": passed.again == 0,
            f"{passed.held} were held": passed.held <= QUEUE,
            f"all had arrived after {self.settled(passed):.0f} s": self.settled(passed) <= SETTLED,
            f"{self.busiest(passed)} sends in a minute": self.busiest(passed) <= self.most,
            f"it failed {begun} times and was well {over} times": begun == over,
            f"{begun} changes": begun == self._changes,
            f"{len(passed.lines)} log lines": len(passed.lines) == 2 * begun + len(self.dropped),
        }
        return [told for told, well in checks.items() if not well]

    @property
    def _changes(self) -> int:
        return 1 if self.down else round(self.hours * 12)


def _always(answer: Reply | TransportError, took: float) -> Ingest:
    return lambda now: (answer, took)


_REFUSED = TransportError("ConnectError: [Errno 111] Connection refused")
_TIMED_OUT = TransportError("ReadTimeout: timed out")
_EVICTED = {"queue_overflow": 10_000 - QUEUE}
_ASKED = Reply(429, {"Retry-After": "30"})
_ABSURD = Reply(429, {"Retry-After": "86400"})

OUTAGES = {
    each.name: each
    for each in (
        Outage("an hour of refused connections", _always(_REFUSED, 0.001), dropped=_EVICTED),
        Outage("an hour of 503", _always(Reply(503), 0.02), dropped=_EVICTED),
        Outage("an hour without an answer", _always(_TIMED_OUT, 10.0), dropped=_EVICTED, most=6),
        Outage("an hour of 429, Retry-After: 30", _always(_ASKED, 0.02), dropped=_EVICTED, most=3),
        Outage(
            "an hour of 429, Retry-After: 86400", _always(_ABSURD, 0.02), dropped=_EVICTED, most=2
        ),
        Outage("an hour of 503, 900 events", _always(Reply(503), 0.02), events=900),
        Outage(
            "6 hours of flapping: down for 2 minutes of 5",
            two_minutes_of_five,
            hours=6,
            events=60_000,
            down=False,
        ),
        Outage(
            # Ten failed flushes are all that the contract has for an event that waits alone.
            "10 minutes of 503, one event",
            _always(Reply(503), 0.02),
            hours=1 / 6,
            events=1,
            dropped={"max_flush_attempts": 1},
        ),
    )
}
