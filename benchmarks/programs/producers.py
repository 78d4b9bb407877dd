"""Threads that track at the same time, through one client or through several."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.contestants import PROPERTIES
from benchmarks.programs.ours import NAME, client
from datalyr_core import Datalyr


def rate(threads: int, clients: int, count: int) -> float:
    """Return how many events a second go from `track` to a transport that takes all.

    Args:
        threads: How many track.
        clients: How many clients they share, by turns.
        count: The events of all of them.
    """
    made = [client() for _ in range(clients)]
    for each in made:
        each.track("user_123", "Warm", PROPERTIES)
        each.flush()

    def produce(mine: Datalyr) -> None:
        with mine.backpressure():
            for _ in range(count // threads):
                mine.track("user_123", NAME, PROPERTIES)

    started = [
        threading.Thread(target=produce, args=(made[number % clients],))
        for number in range(threads)
    ]
    begun = time.perf_counter()
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    for each in made:
        each.flush()
    took = time.perf_counter() - begun
    delivered = sum(each.stats.delivered for each in made) - clients
    for each in made:
        each.close()
    if delivered != count // threads * threads:
        raise RuntimeError(f"{delivered} of {count} were delivered")
    return delivered / took


@contextmanager
def producers() -> Iterator[Commands]:
    yield {"rate": rate}


if __name__ == "__main__":
    answer(producers)
