"""An ingest that is well and not well by turns."""

from __future__ import annotations

import time

from datalyr_core import Reply
from tests.faults.fault import Fault, Goal
from tests.faults.hour import WELL, Answered
from tests.faults.site import answering
from tests.support.ingest import DOWN, OK, RESET, Answer, Received

TURNS = 3
_FLAPS = Goal(lines=(2, 2 * TURNS), down=False)  # a turn may be too short to be noticed


class Turns:
    """Be down for a second, then well for a second, and so on, from the first request on."""

    def __init__(self, *faults: Answer) -> None:
        self._faults = faults
        self._begun: float | None = None

    def __call__(self, request: Received) -> Answer:
        if self._begun is None:
            self._begun = request.at
        turn, well = divmod(int(time.monotonic() - self._begun), 2)
        return OK if well or turn >= TURNS else self._faults[turn % len(self._faults)]


def two_minutes_of_five(now: float) -> Answered:
    """Be down for two minutes, then well for three, and so on."""
    return (Reply(503), 0.02) if now % 300 < 120 else WELL


FAULTS = (
    Fault(
        "flaps: down for a second, well for a second",
        answering(Turns(DOWN, RESET)),
        goal=_FLAPS,
        lasts=2.0 * TURNS,
        hour=two_minutes_of_five,
    ),
)
