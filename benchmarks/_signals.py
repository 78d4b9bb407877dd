"""A run that is broken off leaves nothing behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Shield:
    """Hold what a signal has to wait for."""

    up = False
    waiting = False


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first signal end the block by an exception, and no other one disturb the end."""

    def interrupt(*_: Any) -> None:
        if _Shield.up:
            _Shield.waiting = True
            return
        _interrupt()

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        _Shield.waiting = False
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """Keep a signal waiting while something is started, until it is known what has to end."""
    _Shield.up = True
    try:
        yield
    finally:
        _Shield.up = False
    if _Shield.waiting:
        _interrupt()


def _interrupt() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
