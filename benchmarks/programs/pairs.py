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
Serve = Callable[[Any], Any]  # serves a request
CHUNK = 100  # calls before the other one's turn


@dataclass
class Pair:
    """Hold two ways to serve a request: without something, and with it.

    Attributes:
        without: The one.
        plugged: The other.
        request: Makes what they serve, a fresh one each time; the making does not count.
    """

    without: Serve
    plugged: Serve
    request: Callable[[], Any]

    def added_time(self, calls: int) -> float:
        """Return the CPU microseconds of the calling thread that it adds to a request."""
        without = plugged = 0.0
        gc.collect()
        gc.disable()  # or the collector would come while requests are made
        for _ in range(max(1, calls // CHUNK)):
            without += self._time(self.without)
            plugged += self._time(self.plugged)
        gc.enable()
        return (plugged - without) / (max(1, calls // CHUNK) * CHUNK) * 1e6

    def _time(self, serve: Serve) -> float:
        requests = [self.request() for _ in range(CHUNK)]
        begun = time.thread_time()
        while requests:
            serve(requests.pop())  # which is freed here, unless something holds it
        gc.collect(0)
        return time.thread_time() - begun

    def added_memory(self, calls: int = 100) -> dict[str, float]:
        """Return the bytes that it adds, at the peak of a request and after it.

        `live` is what is there before a collection of garbage, and `left` after one.
        """
        without, plugged = (
            _memory(serve, self.request, calls) for serve in (self.without, self.plugged)
        )
        return {name: plugged[name] - without[name] for name in plugged}


def run(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that never waits, without the cost of a loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits")


def _memory(serve: Serve, make: Callable[[], Any], calls: int) -> dict[str, float]:
    for _ in range(calls):
        serve(make())
    gc.collect()
    gc.disable()  # what only a collection would find counts as kept
    tracemalloc.start()
    try:
        serve(make())  # what is kept once, not for each request
        before, _ = tracemalloc.get_traced_memory()
        peaks = []
        for _ in range(calls):
            request = make()
            tracemalloc.reset_peak()
            begun, _ = tracemalloc.get_traced_memory()
            serve(request)
            peaks.append(tracemalloc.get_traced_memory()[1] - begun)
            del request
        after, _ = tracemalloc.get_traced_memory()
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
        kept = {"live": (after - before) / calls, "left": (left - before) / calls}
        return {"peak": statistics.median(peaks), **kept}
    finally:
        tracemalloc.stop()
        gc.enable()
