"""Memory, threads and file descriptors of processes over time, and whether they are flat."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

EVERY = 1.0  # seconds between two samples
WARM = 20  # samples, or a third of all, in which a process opens and loads what it needs
ENOUGH = 30  # samples without which a process is not judged
# What the second half of the rest may have over the first, by median. Threads and descriptors
# come and go with faults: as many as a client has sends in flight, and a few of the server.
MORE = 8
MORE_MEMORY = (4.0, 0.05)  # MB, or this part of it, whichever is more


class Sample(NamedTuple):
    """A process at one moment."""

    memory: float  # MB that are resident
    threads: int
    files: int


class Flatness(NamedTuple):
    """How one quantity of all processes that lived long enough came out.

    Attributes:
        judged: How many processes there were to judge.
        most: By how much the one that grew most did grow.
        problems: What is wrong, in words.
    """

    judged: int
    most: float
    problems: list[str]


class Gauges:
    """Sample processes once a second."""

    def __init__(self, processes: Callable[[], Mapping[str, Iterable[int]]]) -> None:
        """Begin with nothing.

        Args:
            processes: Tells which there are by now, by role.
        """
        self.samples: dict[tuple[str, int], list[Sample]] = {}
        self._processes = processes
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._always, name="soak-gauges")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _always(self) -> None:
        due = time.monotonic()
        while not self._stopped.wait(max(due - time.monotonic(), 0.0)):
            due += EVERY
            for role, pids in self._processes().items():
                for pid in pids:
                    with suppress(OSError, ValueError, KeyError):  # it has gone meanwhile
                        self.samples.setdefault((role, pid), []).append(sample(pid))


def sample(pid: int) -> Sample:
    """Look at a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    files = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(int(status["VmRSS"][0]) / 1024, int(status["Threads"][0]), files)


def judge(samples: Mapping[tuple[str, int], Sequence[Sample]], quantity: str) -> Flatness:
    """Tell whether a quantity stayed flat in each process that lived long enough.

    Args:
        samples: By role and process, in order.
        quantity: "memory", "threads" or "files".
    """
    long_enough = {key: each for key, each in samples.items() if len(each) >= ENOUGH}
    most, problems = 0.0, []
    for (role, pid), each in long_enough.items():
        middle, last = parts([float(getattr(one, quantity)) for one in each])
        most = max(most, last - middle)
        if last - middle > bound(quantity, middle):
            problems.append(f"{quantity} of {role} ({pid}) grew from {middle:.1f} to {last:.1f}")
    return Flatness(len(long_enough), most, problems)


def bound(quantity: str, middle: float) -> float:
    """Return by how much a quantity may grow from one half to the other."""
    if quantity != "memory":
        return MORE
    least, part = MORE_MEMORY
    return max(least, part * middle)


def parts(values: Sequence[float]) -> tuple[float, float]:
    """Return the medians of the first and of the second half of what comes after warming up."""
    rest = values[max(WARM, len(values) // 3) :]
    half = len(rest) // 2
    return statistics.median(rest[:half]), statistics.median(rest[half:])
