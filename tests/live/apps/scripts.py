"""Small programs that track and then end in some way: `python -m tests.live.apps.scripts NAME`."""

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import sys
import threading
import time

from datalyr_core import Datalyr
from tests.live.apps.ledger import PLAIN, note, plain_id

THREADS, EACH = 4, 50

client = None


def start() -> None:
    global client
    client = None if PLAIN else Datalyr.from_env()


def one(kind: str = "load") -> None:
    note(client.track("user", "Live") if client else plain_id(), kind)


def track() -> None:
    """Track from four threads at once."""
    threads = [threading.Thread(target=_some) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _some() -> None:
    for _ in range(EACH):
        one()


def end() -> None:
    track()


def sys_exit() -> None:
    track()
    sys.exit(3)


def exception() -> None:
    track()
    raise ValueError("unhandled, on purpose")


def thread() -> None:
    """Let a thread track when the main one has ended."""

    def later() -> None:
        threading.main_thread().join()
        for _ in range(THREADS):  # Python 3.12.0 to 3.12.2 start no thread any more
            _some()
        one("late")

    threading.Thread(target=later).start()


def daemon() -> None:
    """End while a daemon thread tracks on."""

    def always() -> None:
        while True:
            one()
            time.sleep(0.001)

    threading.Thread(target=always, daemon=True).start()
    track()


def wait() -> None:
    """Wait for a signal, in short naps.

    Python runs a handler between two steps of the main thread: a signal that comes just
    before a long nap waits for its end.
    """
    track()
    one("ready")
    while True:  # until the signal comes; the matrix kills what is left
        time.sleep(0.02)


def handler() -> None:
    """Answer SIGTERM by an exit of its own, as many daemons do."""

    def leave(*_: object) -> None:
        one("late")
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    wait()


def impatient() -> None:
    """Exit while somebody sends SIGTERM again and again, as hypercorn does with two workers."""
    track()
    one("ready")
    nagging = f"import os,time\nwhile 1:\n os.kill({os.getpid()}, 15)\n time.sleep(0.02)"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.posix_spawn(sys.executable, [sys.executable, "-c", nagging], os.environ)
    while True:
        time.sleep(0.02)


def loop() -> None:
    """Track in an event loop, which a signal ends."""

    async def live() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await asyncio.gather(*(_soon() for _ in range(THREADS * EACH)))
        one("ready")
        await stop.wait()
        one("late")

    asyncio.run(live())


async def _soon() -> None:
    await asyncio.sleep(0)
    one()


def fork() -> None:
    """Track in the parent, in a child of a process that has been sending, and in both after."""
    track()
    child = os.fork()
    track()
    if child:
        os.waitpid(child, 0)


def multiprocess(method: str) -> None:
    context = multiprocessing.get_context(method)
    children = [context.Process(target=_child) for _ in range(2)]
    track()
    for child in children:
        child.start()
    track()
    for child in children:
        child.join()


def _child() -> None:
    if client is None:
        start()
    track()


def threads() -> None:
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for _ in range(THREADS):
            pool.submit(_some)


def unfinished() -> None:
    """Leave a thread pool to the interpreter's own exit."""
    pool = concurrent.futures.ThreadPoolExecutor(THREADS)
    for _ in range(THREADS):
        pool.submit(_some)
    one("late")


def processes(method: str) -> None:
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        for _ in range(2):
            pool.submit(_child)
        track()


def pool(method: str) -> None:
    """Use a pool of multiprocessing, which it ends in an orderly way."""
    with multiprocessing.get_context(method).Pool(2) as workers:
        workers.map(_child_of_pool, range(2))
        workers.close()
        workers.join()
    track()


def _child_of_pool(_: int) -> None:
    _child()


def main() -> None:
    name, _, argument = sys.argv[1].partition("-")
    start()
    globals()[name](*filter(None, [argument]))


if __name__ == "__main__":
    main()
