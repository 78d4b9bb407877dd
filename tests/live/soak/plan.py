"""The plan of a soak: what happens when. The same seed always makes the same plan."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

RATES = (50, 150)  # events a second, at least and at most
LEAD = 2.0  # seconds at the beginning and at the end in which nothing but the load happens

FAULT_EVERY = 12.0  # seconds that each fault and the health after it share
FEWEST_FAULTS = 4

FAULTS = (
    "refuse",  # nobody listens
    "reset",  # the connection is reset before the answer, half the time with the event taken
    "hang",  # no answer, half the time with the event taken
    "limit",  # 429, and when to come back
    "fail",  # 500 and 503
    "slow",  # an answer that takes its time
    "flap",  # well and ill in turns
    "reject",  # 400 to every other event, for good
)
FORK_METHODS = ("os.fork", "fork")  # the second is multiprocessing's
JOB_METHODS = ("os.fork", "fork", "spawn", "forkserver")
CLOCK_STEPS = (-86_400.0, -3_600.0, -60.0, 5.0, 3_600.0, 86_400.0)  # seconds, from the truth


# How many of a kind there are in a minute; there are at least two of each.
EACH_MINUTE = {
    "kill": 1.5,
    "terminate": 1.5,
    "fork": 4.0,
    "job": 1.0,
    "load": 2.0,
    "clock": 1.5,
    "broker": 0.5,
}


@dataclass(frozen=True)
class Step:
    """One thing that happens.

    Attributes:
        at: Seconds from the beginning.
        kind: "kill", "terminate", "fork", "job", "load", "clock", "fault" or "broker".
        what: The server that is meant, the fault ("" ends it), the method of the fork, the
            events a second or the seconds that the wall clock is off.
        many: A number that some kinds need: how many events a fork or a job tracks.
    """

    at: float
    kind: str
    what: Any = ""
    many: int = 0

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.kind:<9} {self.what!s:<12} {self.many or '':>3}".rstrip()


def make_plan(
    seed: int, seconds: float, servers: tuple[str, ...], *, broker: bool = False
) -> list[Step]:
    """Make the plan of a seed.

    Args:
        seed: Decides everything.
        seconds: How long it goes on.
        servers: Names of what can be killed and asked to fork.
        broker: Whether there is a broker to restart, and a relay to kill.
    """
    chance = random.Random(f"soak {seed}")
    return sorted(_steps(chance, seconds, servers, broker=broker), key=lambda step: step.at)


def _steps(
    chance: random.Random, seconds: float, servers: tuple[str, ...], *, broker: bool
) -> Iterator[Step]:
    yield from _faults(chance, seconds)
    for kind, each_minute in EACH_MINUTE.items():
        if kind == "broker" and not broker:
            continue
        for _ in range(max(2, round(each_minute * seconds / 60))):
            at = round(chance.uniform(LEAD, seconds - LEAD), 2)
            mortals = (*servers, "relay") if broker else servers
            among = mortals if kind in ("kill", "terminate") else servers
            yield Step(at, kind, *_details(chance, kind, among))


def _details(chance: random.Random, kind: str, servers: tuple[str, ...]) -> tuple[Any, ...]:
    """Choose what a step of some kind is about, and how many events it tracks."""
    match kind:
        case "fork":
            return f"{chance.choice(servers)} {chance.choice(FORK_METHODS)}", chance.randint(1, 30)
        case "job":
            return chance.choice(JOB_METHODS), chance.randint(10, 60)
        case "load":
            return (chance.randint(*RATES),)
        case "clock":
            return (chance.choice(CLOCK_STEPS),)
        case "broker":
            return ("restart",)
        case _:
            return (chance.choice(servers),)


def _faults(chance: random.Random, seconds: float) -> Iterator[Step]:
    """Share the time out between faults, which do not overlap; each kind once in turn."""
    count = max(FEWEST_FAULTS, int((seconds - 2 * LEAD) // FAULT_EVERY))
    share = (seconds - 2 * LEAD) / count
    deck: list[str] = []
    for number in range(count):
        deck = deck or chance.sample(FAULTS, len(FAULTS))
        begin = LEAD + number * share + chance.uniform(0, share / 4)
        end = begin + chance.uniform(share / 6, share / 2)
        yield Step(round(begin, 2), "fault", deck.pop())
        yield Step(round(end, 2), "fault", "")
