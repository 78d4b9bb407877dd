"""Memory of events that wait because nothing is taken."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.contestants import PROPERTIES
from benchmarks.programs.ours import NAME, client
from benchmarks.programs.resident import resident
from datalyr_core import Reply


class Stuck:
    """A transport that can be made to wait."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.size = 0

    def send(self, body: bytes) -> Reply:
        self.size += len(body)
        self.free.wait()
        return Reply(200)


@contextmanager
def stuck() -> Iterator[Commands]:
    transport = Stuck()
    made = client(transport=transport, concurrency=1)

    def fill(count: int) -> None:
        for number in range(count):
            made.track(f"user_{number}", NAME, PROPERTIES)

    def size(count: int) -> int:
        """Return the bytes of as many bodies."""
        fill(count)
        made.flush()
        return transport.size

    def held(count: int, traced: bool) -> int:
        """Return the bytes that waiting events add."""
        fill(20)
        made.flush()  # its threads are there
        transport.free.clear()
        gc.collect()
        if traced:
            tracemalloc.start()
        before = resident()
        fill(count)
        added = tracemalloc.get_traced_memory()[0] if traced else resident() - before
        tracemalloc.stop()
        transport.free.set()
        made.flush()
        return added

    yield {"held": held, "size": size}
    made.close()


if __name__ == "__main__":
    answer(stuck)
