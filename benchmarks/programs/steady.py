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


def after_one(made: Datalyr) -> tuple[int, float]:
    """Wait for the next delivery, and return how many there were, and when.

    Between two deliveries a rate counts whole rounds; cut anywhere, it is a round too low.
    """
    before, begun = made.stats.delivered, time.perf_counter()
    while (now := made.stats.delivered) == before:
        if time.perf_counter() - begun > PATIENCE:
            raise RuntimeError("nothing is delivered")
        time.sleep(0.0005)
    return now, time.perf_counter()


@contextmanager
def sending(port: int, concurrency: int) -> Iterator[Commands]:
    made = client(port, concurrency=concurrency)

    def rate(seconds: float, enough: int) -> float:
        """Return how many events a second are delivered while more than enough wait."""
        for _ in range(enough - made.stats.waiting):
            made.track("user_123", NAME, PROPERTIES)
        made.flush(timeout=0.1)  # they are all at work
        before, begun = after_one(made)
        made.flush(timeout=seconds)
        now, ended = after_one(made)
        return (now - before) / (ended - begun)

    yield {"rate": rate}
    logging.disable(logging.CRITICAL)  # that what is left is lost is as it has to be
    made.close(timeout=1)


if __name__ == "__main__":
    answer(lambda: sending(int(sys.argv[1]), int(sys.argv[2])))
