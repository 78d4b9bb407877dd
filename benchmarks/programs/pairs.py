"""What one thing costs more than another that does the same without it."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

Work = Callable[[], Any]
CHUNK = 100  # calls before the other one's turn


@dataclass
class Pair:
    """Hold two ways to serve a request: without something, and with it."""

    without: Work
    plugged: Work

    def added_time(self, calls: int) -> float:
        """Return the CPU microseconds of the calling thread that it adds to a request."""
        spent = {self.without: 0.0, self.plugged: 0.0}
        gc.collect()
        for _ in range(max(1, calls // CHUNK)):
            for work in spent:
                begun = time.thread_time()
                for _ in range(CHUNK):
                    work()
                spent[work] += time.thread_time() - begun
        served = max(1, calls // CHUNK) * CHUNK
        return (spent[self.plugged] - spent[self.without]) / served * 1e6

    def added_memory(self, calls: int = 100) -> dict[str, float]:
        """Return the bytes that it adds, at the peak of a request and after it."""
        without, plugged = _memory(self.without, calls), _memory(self.plugged, calls)
        return {name: plugged[name] - without[name] for name in plugged}


def run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that never waits, without the cost of a loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits")


def _memory(work: Work, calls: int) -> dict[str, float]:
    for _ in range(calls):
        work()
    gc.collect()
    gc.disable()  # what only a collection would find counts as kept
    tracemalloc.start()
    try:
        work()  # what is kept once, not for each request
        before, _ = tracemalloc.get_traced_memory()
        peaks = []
        for _ in range(calls):
            tracemalloc.reset_peak()
            begun, _ = tracemalloc.get_traced_memory()
            work()
            peaks.append(tracemalloc.get_traced_memory()[1] - begun)
        after, _ = tracemalloc.get_traced_memory()
        return {"peak": statistics.median(peaks), "live": (after - before) / calls}
    finally:
        tracemalloc.stop()
        gc.enable()
