"""Bare sockets, a thread each: `… .sockets PORT CONNECTIONS`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.programs.answering import Commands, answer
from benchmarks.programs.bare import connect, request


@contextmanager
def sockets(port: int, connections: int) -> Iterator[Commands]:
    made, whole = [connect(port) for _ in range(connections)], request(port)

    def rate(seconds: float) -> float:
        """Return how many requests a second are answered, one at a time on each."""
        rates = [0.0] * connections
        begun = time.perf_counter()

        def ask(number: int) -> None:
            answered, took = 0, 0.0
            while took < seconds:
                made[number].sendall(whole)
                made[number].recv(4096)
                answered, took = answered + 1, time.perf_counter() - begun
            rates[number] = answered / took  # each to its own last answer

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(rates)

    yield {"rate": rate}
    for connection in made:
        connection.close()


if __name__ == "__main__":
    answer(lambda: sockets(int(sys.argv[1]), int(sys.argv[2])))
