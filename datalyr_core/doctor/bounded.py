"""Calls that take no longer than they may, whatever they wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


def bounded(call: Callable[[], _T], timeout: float) -> _T:
    """Make a call in a thread of its own, and leave it behind if it takes too long.

    A name look-up cannot be given a time-out in any other way.

    Raises:
        TimeoutError: It took too long.
    """
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="datalyr-doctor", daemon=True).start()
    return future.result(timeout)
