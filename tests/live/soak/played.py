"""What came of a plan: all that the verdict is about."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.live.soak.arrangements import Arrangement
from tests.live.soak.gauges import Sample
from tests.live.soak.ingest import Arrival
from tests.live.soak.ledger import Line


@dataclass
class Played:
    """Collect it.

    Attributes:
        lines: The ledger.
        arrivals: What the ingest took.
        kills: When each process was killed, by its id.
        ends: When a worker or a relay was told to end, or the broker was killed.
        faults: Name, beginning and end of each fault.
        offsets: When the wall clock was stepped, and how far from the truth.
        wall: What the true wall clock is ahead of the monotonic one, in seconds.
        samples: Of memory, threads and descriptors, by role and process.
        waiting: Tokens of events that still wait somewhere.
        dead: Tokens of events in a broker's dead letters.
        done: How many steps of each kind were played.
        met: How many requests each fault met.
        promised: Tokens of events that a visitor was told of.
        broken: Answers of an application that failed.
        notes: What went wrong with the playing itself.
        log: What the processes wrote.
    """

    arrangement: Arrangement
    seed: int = 0
    seconds: float = 0.0
    lines: list[Line] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    kills: dict[int, float] = field(default_factory=dict)
    ends: list[float] = field(default_factory=list)
    faults: list[tuple[str, float, float]] = field(default_factory=list)
    offsets: list[tuple[float, float]] = field(default_factory=list)
    wall: float = field(default_factory=lambda: time.time() - time.monotonic())
    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    met: dict[str, int] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    log: str = ""
