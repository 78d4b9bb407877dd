"""A client that always has enough to send: `… .steady PORT CONCURRENCY`."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.contestants import PROPERTIES
from benchmarks.programs.ours import NAME, client
from datalyr_core import Datalyr

PATIENCE = 10.0  # seconds for the next delivery


def reached(made: Datalyr, count: int) -> tuple[int, float]:
    """Wait for so many deliveries, and return how many there were, and when."""
    begun = time.perf_counter()
    while (now := made.stats.delivered) < count:
        if time.perf_counter() - begun > PATIENCE:
            raise RuntimeError("nothing is delivered")
        time.sleep(0.0005)
    return now, time.perf_counter()


@contextmanager
def sending(port: int, concurrency: int) -> Iterator[Commands]:
    made = client(port, concurrency=concurrency)

    def rate(seconds: float, enough: int) -> float:
        """Return how many events a second are delivered while more than enough wait.

        Deliveries come in bursts of as many as are under way. A rate of whole rounds ends where
        in a burst it has begun; cut anywhere, it would be a part of a burst too low or too high.
        """
        for _ in range(enough - made.stats.waiting):
            made.track("user_123", NAME, PROPERTIES)
        made.flush(timeout=0.1)  # they are all at work
        before, begun = reached(made, made.stats.delivered + 1)
        made.flush(timeout=seconds)
        whole = ((made.stats.delivered - before) // concurrency + 1) * concurrency
        _, ended = reached(made, before + whole)
        return whole / (ended - begun)

    yield {"rate": rate}
    logging.disable(logging.CRITICAL)  # that what is left is lost is as it has to be
    made.close(timeout=1)


if __name__ == "__main__":
    answer(lambda: sending(int(sys.argv[1]), int(sys.argv[2])))
