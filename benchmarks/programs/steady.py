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


@contextmanager
def sending(port: int, concurrency: int) -> Iterator[Commands]:
    made = client(port, concurrency=concurrency)

    def rate(seconds: float, enough: int) -> float:
        """Return how many events a second are delivered while more than enough wait."""
        for _ in range(enough - made.stats.waiting):
            made.track("user_123", NAME, PROPERTIES)
        before, begun = made.stats.delivered, time.perf_counter()
        made.flush(timeout=seconds)
        return (made.stats.delivered - before) / (time.perf_counter() - begun)

    yield {"rate": rate}
    logging.disable(logging.CRITICAL)  # that what is left is lost is as it has to be
    made.close(timeout=1)


if __name__ == "__main__":
    answer(lambda: sending(int(sys.argv[1]), int(sys.argv[2])))
