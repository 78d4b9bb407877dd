"""Small programs that track and then end in some way: `python -m tests.live.apps.scripts NAME`.

Each prints the ids that were accepted, one a line, as soon as it has them.
"""

import multiprocessing
import os
import sys
import threading
import time

from datalyr_core import Datalyr

COUNT = 50


def track(client: Datalyr) -> None:
    for n in range(COUNT):
        # One write each: several processes share the pipe.
        os.write(1, f"{client.track('user', 'Live', {'n': n})}\n".encode())


def end(client: Datalyr) -> None:
    track(client)


def sys_exit(client: Datalyr) -> None:
    track(client)
    sys.exit(3)


def exception(client: Datalyr) -> None:
    track(client)
    raise ValueError("unhandled, on purpose")


def thread(client: Datalyr) -> None:
    """Let a thread track when the main one has ended."""

    def later() -> None:
        threading.main_thread().join()
        track(client)

    threading.Thread(target=later).start()


def wait(client: Datalyr) -> None:
    """Wait for a signal, in short naps.

    Python runs a handler between two steps of the main thread: a signal that comes just
    before a long nap waits for its end.
    """
    track(client)
    os.write(1, b"ready\n")
    while True:  # until the signal comes; the test kills what is left
        time.sleep(0.05)


def fork(client: Datalyr) -> None:
    """Track in the parent, in a child of a process that has been sending, and in both after."""
    track(client)
    child = os.fork()
    track(client)
    if child:
        os.waitpid(child, 0)


def _multiprocessing(method: str, client: Datalyr) -> None:
    context = multiprocessing.get_context(method)
    child = context.Process(target=_child)
    child.start()
    track(client)
    child.join()


def _child() -> None:
    track(Datalyr.from_env())


def main() -> None:
    name = sys.argv[1]
    client = Datalyr.from_env()
    if name.startswith("multiprocessing-"):
        _multiprocessing(name.partition("-")[2], client)
    else:
        globals()[name](client)


if __name__ == "__main__":
    main()
