"""What became of a client's events, in figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """Count what became of events, as a snapshot that does not change any more.

    `dataclasses.asdict` makes it a mapping that JSON can hold. What was accepted or taken
    over is delivered, waiting or dropped.

    Attributes:
        accepted: Taken in.
        delivered: Taken by the ingest, or by the broker on the way to it.
        retried: Sends that were tried again.
        waiting: Neither delivered nor dropped yet.
        dropped: Given up, by reason; 0 of a reason that has not occurred.
        taken_over: Taken from a durable outbox, where a process that has ended left them.
    """

    accepted: int
    delivered: int
    retried: int
    waiting: int
    dropped: Mapping[str, int]
    taken_over: int = 0
