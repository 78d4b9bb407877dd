"""`datalyr outbox drain`: deliver what dead processes left, with the configured client."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from collections.abc import Container, Iterator
from contextlib import contextmanager

from datalyr_core import lifecycle
from datalyr_core.client import Datalyr
from datalyr_core.commands import INTERRUPTED, fail, say
from datalyr_core.errors import ConfigurationError
from datalyr_core.importing.progress import Progress
from datalyr_core.outbox.choice import sink_of
from datalyr_core.outbox.reading import OutboxStatus, read_status

NOT_ALL, UNUSABLE = 1, 2
GRACE = 5.0  # seconds for what is under way when it is interrupted
TICK = 0.1  # seconds between one look and the next


def run(options: argparse.Namespace) -> int:
    """Drain, and say what came of it.

    Raises:
        Unusable: There is no outbox, or it cannot be read.
    """
    before = read_status(options.outbox)
    dead = {owner.owner for owner in before.owners if not owner.alive}
    with lifecycle.counted_interruptions() as interruptions:
        try:
            client = Datalyr.from_env(outbox=f"sqlite://{options.outbox.absolute()}")
        except ConfigurationError as problem:
            return fail(str(problem), UNUSABLE)
        if not client.config.enabled:
            return fail("DATALYR_ENABLED is off, so nothing would be sent", UNUSABLE)
        sink = sink_of(client.config)
        progress = Progress(sys.stderr, _left(before, sink, dead), "events")
        with _log_beside(progress):
            draining = threading.Thread(target=client.drain, args=(options.timeout,), daemon=True)
            draining.start()
            while draining.is_alive() and not interruptions():
                draining.join(TICK)
                _draw(progress, client)
            progress.erase()
            interrupted = bool(interruptions())
            client.close(timeout=GRACE if interrupted else 0)
        after = read_status(options.outbox)
        # Some may be held by this very process still, for as long as they are on their way.
        dead |= {owner.owner for owner in after.owners if not owner.alive}
        _report(client, after, sink, dead)
    if interrupted:
        return INTERRUPTED
    return NOT_ALL if _left(after, sink, dead) or _dropped(client) else 0


def _draw(progress: Progress, client: Datalyr) -> None:
    done = client.stats.delivered + _dropped(client)
    progress.draw(done, done)


def _report(client: Datalyr, after: OutboxStatus, sink: str, dead: Container[int]) -> None:
    stats = client.stats
    say(f"delivered {stats.delivered:>12,}")
    for reason, count in stats.dropped.items():
        say(f"dropped   {count:>12,}  {reason}")
    say(f"left      {_left(after, sink, dead):>12,}")
    living = sum(each.events for each in after.owners if each.owner not in dead)
    if living:
        say(f"{living:,} more are of living processes, which send them")
    others = sum(each.events for each in after.owners if each.owner in dead and each.sink != sink)
    if others:
        say(f"{others:,} more were accepted under another key: drain them with that one")


def _left(status: OutboxStatus, sink: str, dead: Container[int]) -> int:
    """Count what dead processes left that goes where this client sends."""
    return sum(each.events for each in status.owners if each.owner in dead and each.sink == sink)


def _dropped(client: Datalyr) -> int:
    return sum(client.stats.dropped.values())


@contextmanager
def _log_beside(progress: Progress) -> Iterator[None]:
    """Let the client's log be lines of their own beside the progress."""
    handler = _Lines(progress)
    logger = logging.getLogger("datalyr")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Lines(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.say(record.getMessage())
