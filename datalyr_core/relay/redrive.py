"""Redriving: dead letters become ordinary messages again."""

from __future__ import annotations

from collections.abc import Callable

from datalyr_core.broker.dead_letters import living_headers
from datalyr_core.broker.intake import Source, body_of, headers_of, opened


def redrive(source: Source, limit: int | None, stop: Callable[[], bool]) -> int:
    """Move dead letters back into the queue of events, the oldest first.

    Those that are there now, and no others: a relay that runs meanwhile may make some of them
    dead letters again.

    Args:
        source: The queue of events.
        limit: How many at most; all by default.
        stop: Says when to stop before that.

    Returns:
        How many were moved.

    Raises:
        Exception: What kombu and the broker's driver raise. Nothing is lost by it: a dead
            letter is acknowledged when the broker has it as an ordinary message.
    """
    moved = 0
    with opened(source) as intake:
        there = intake.count_dead()
        most = there if limit is None else min(limit, there)
        while moved < most and not stop():
            message = intake.fetch()
            if message is None:  # somebody else moves them too
                break
            intake.publish(
                source.queue, body_of(message), living_headers(headers_of(message)),
                message.content_type,
            )  # fmt: skip
            message.ack()
            moved += 1
    return moved
