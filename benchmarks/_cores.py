"""Who runs on which core: what stands for another machine has a core of its own.

Two processes that talk on one core wake no other core, which makes a send three times cheaper
than between two, and the scheduler moves them together or apart as it likes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from contextlib import contextmanager

Cores = Set[int] | None  # None: where the system likes


def _divided() -> tuple[Cores, Cores]:
    ours = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    return (set(ours[1:]), set(ours[:1])) if len(ours) > 1 else (None, None)


HERE, AWAY = _divided()  # what is measured; and the sink, brokers and the load
ONE: Cores = set(sorted(HERE)[:1]) if HERE else None  # for what is to meet on one core


@contextmanager
def on(cores: Cores) -> Iterator[None]:
    """Let this thread, and all that it starts in the block, run on some cores only."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def division() -> str:
    """Tell who runs where."""
    if HERE is None or AWAY is None:
        return "nothing is kept to a core: there is one, or the system cannot"
    here, away = (", ".join(map(str, sorted(each))) for each in (HERE, AWAY))
    return f"the sink, brokers and the load run on core {away}, what is measured on {here}"
