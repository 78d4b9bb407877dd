"""Waiting for the client in an event loop, whatever becomes of the loop."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

_NAP = 0.005  # seconds between two looks of a coroutine at what it waits for


async def wait_in_thread(wait: Callable[[float | None], bool], timeout: float | None) -> bool:  # noqa: ASYNC109 - it is passed on
    """Wait in a thread that the process does not wait for in turn.

    It does for the threads of an event loop, which never end if the loop was stopped in the
    middle, as daphne does with requests that are running when it ends.
    """
    # Heavy, and no use to synchronous applications.
    from concurrent.futures import Future

    import anyio

    outcome: Future[bool] = Future()

    def run() -> None:
        try:
            outcome.set_result(wait(timeout))
        except BaseException as error:  # it belongs to the caller
            outcome.set_exception(error)

    in_context = contextvars.copy_context().run
    try:
        threading.Thread(target=in_context, args=(run,), name="datalyr-wait", daemon=True).start()
    except RuntimeError:  # no thread can be started any more
        run()
    with anyio.CancelScope(shield=True):
        while not outcome.done():  # noqa: ASYNC110 - a loop that is gone could not be told
            await anyio.sleep(_NAP)
    return outcome.result()
