"""What a row says: a fault, the goal, and what was measured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import cycle

from tests.faults.hour import Ingest
from tests.faults.site import Breaking, Site, plain

EVENTS = 200  # tracked while the fault lasts
MOST_PER_MINUTE = 25  # sends in an outage, with the default options: passes of five, with waits
MOST_HELD = 1000  # entries, in an hour in which more are tracked: the default `max_queue_size`
MOST_MEMORY = 1_000_000  # bytes that a thousand small events take at most, with all that is kept
# Sends and requests while the ingest is down: what was on its way on ten connections, each of
# them perhaps dead before, a few passes, and what a minute may have.
MOST_AT_FIRST = 40
# A `track` waits for something if half of the calls take longer than SLOW µs and SLOWER times as
# long as when the ingest is well, or one in a hundred takes SLOWEST: machines are busy too.
SLOW, SLOWER, SLOWEST = 200, 3.0, 250_000


@dataclass(frozen=True)
class Goal:
    """What has to come out.

    Attributes:
        arrives: How many of the events arrive in the end.
        dropped: Why the others are dropped.
        lines: How many log lines there are at least and at most, of warnings and worse.
        down: Whether the ingest counts as down meanwhile: one probe at a time, no storm.
        most: How many sends there are in the busiest minute of an hour of it, at most.
        again: Whether an event may arrive again, since its reply was lost; under its old id.
        told: What the log lines say, by turns.
    """

    arrives: int = EVENTS
    dropped: str | None = None
    lines: tuple[int, int] = (2, 2)  # it fails, it answers again
    down: bool = True
    most: int = MOST_PER_MINUTE
    again: bool = False
    told: tuple[str, ...] = ("the ingest fails", "the ingest answers again")


WAITS = Goal()
TIMES_OUT = Goal(most=6)
HARMLESS = Goal(lines=(0, 0), down=False)
REFUSED = Goal(arrives=0, dropped="permanent_client_error", lines=(1, 1), down=False)


@dataclass(frozen=True)
class Fault:
    """A fault, how to bring it about, and what has to come of it.

    Attributes:
        name: What the row is called.
        broken: Breaks an ingest that is well, and mends it in the end.
        site: Makes the ingest.
        goal: What has to come out.
        timeout: The client's, in seconds.
        lasts: For how many seconds events are tracked meanwhile.
        from_start: Whether it is broken before the client has ever reached it.
        namespace: Whether it needs a network and file systems of its own, and root for that.
        ipv6: Whether it needs the address ::1.
        needs: A package that it cannot do without.
        hour: What the ingest does in a simulated hour of it; by default it answers as it did
            here, or as long after as the default time-out is longer than the one here.
    """

    name: str
    broken: Breaking
    site: Callable[[], AbstractContextManager[Site]] = plain
    goal: Goal = WAITS
    timeout: float = 1.0
    lasts: float = 0.8
    from_start: bool = False
    namespace: bool = False
    ipv6: bool = False
    needs: str | None = None
    hour: Ingest | None = None


@dataclass
class Measured:
    """What came out; all of it can be written as JSON."""

    name: str
    tracked: int = 0
    arrived: int = 0  # different events
    again: int = 0  # arrivals of events that had arrived before
    delivered: int = 0  # of these, as the client counts
    dropped: dict[str, int] = field(default_factory=dict)
    waiting: int = 0  # in the end
    sends: int = 0  # while the fault lasted
    requests: int = 0  # of these, what the ingest read
    seconds: float = 0.0  # how long the fault lasted
    at_once: int = 0  # sends at the same time, once the ingest counted as down
    lines: list[str] = field(default_factory=list)
    held: int = 0  # entries at most, while the fault lasted…
    hour_held: int = 0  # …and in an hour of it
    peak: int = 0  # bytes that an hour took at most, above what there was before
    per_minute: float = 0.0  # sends in an hour of it
    busiest: int = 0  # sends in the busiest minute of it
    fault_us: tuple[float, float] = (0.0, 0.0)  # p50 and p99 of track(), in microseconds
    well_us: tuple[float, float] = (0.0, 0.0)
    answer: str = ""  # what the transport told last
    skipped: str = ""  # why it did not run
    failed: str = ""  # why it came to no result

    @property
    def ratios(self) -> tuple[float, float]:
        """How `track` compares with that of a well ingest, at p50 and at p99."""
        (middle, most), (well, well_most) = self.fault_us, self.well_us
        return middle / (well or 1.0), most / (well_most or 1.0)


def misses(goal: Goal, found: Measured) -> list[str]:
    """Say what is not as it has to be; nothing if all is well."""
    if found.failed:
        return [found.failed]
    dropped = {goal.dropped: EVENTS - goal.arrives} if goal.dropped else {}
    checks = {
        f"{found.arrived} arrived, not {goal.arrives}": found.arrived == goal.arrives,
        f"dropped {found.dropped}, not {dropped}": found.dropped == dropped,
        f"{found.waiting} still wait": found.waiting == 0,
        f"{found.again} arrived again": goal.again or found.again == 0,
        f"log lines: {found.lines}": _are_lines_well(goal, found.lines),
        f"{found.delivered} were delivered": found.delivered == goal.arrives,
        f"{found.held} entries were held": found.held <= EVENTS,
        f"{found.hour_held} entries were held in an hour": found.hour_held <= MOST_HELD,
        f"{found.sends} sends, {found.requests} requests": not goal.down or not _storms(found),
        f"{found.at_once} probes at once": not goal.down or found.at_once == 1,
        f"{found.busiest} sends in a minute": not goal.down or found.busiest <= goal.most,
        f"{found.peak} bytes were taken": found.peak <= MOST_MEMORY,
        f"track() took {found.fault_us} µs": not _slow(found),
    }
    return [told for told, well in checks.items() if not well]


def _are_lines_well(goal: Goal, lines: list[str]) -> bool:
    """Tell whether there is a line for each change of state, and no other."""
    least, most = goal.lines
    if not least <= len(lines) <= most:
        return False
    if goal.dropped:
        return True
    return all(told in line for told, line in zip(cycle(goal.told), lines, strict=False))


def _storms(found: Measured) -> bool:
    most = MOST_AT_FIRST + MOST_PER_MINUTE * found.seconds / 60
    return max(found.sends, found.requests) > most


def _slow(found: Measured) -> bool:
    middle, most = found.fault_us
    return (middle > SLOW and found.ratios[0] > SLOWER) or most > SLOWEST
