"""`python -m tests.live.kill_nine`: kill -9 workers under load, and count what is lost.

gunicorn serves with four workers while two clients ask without a pause; the reply of each
request names the event that it tracked, which is thereby known to be accepted. A random
worker is killed again and again. At last the server is ended, and started once more to
take over what is left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live.exit_matrix.load import Load
from tests.live.exit_matrix.stage import free_port
from tests.support.ingest import IngestServer, slow
from tests.support.signals import interrupt_once
from tests.support.waiting import eventually

PATIENCE = 60.0  # seconds for anything that is to happen
INGEST = 0.01  # seconds that the ingest takes for an event, so that some always wait
REQUESTS = 30  # answered from a kill to the next, at least


@dataclass(frozen=True)
class Outcome:
    """What became of the events whose acceptance the clients were told."""

    kills: int
    accepted: int
    delivered: int
    duplicated: int
    lost: int

    @property
    def good(self) -> bool:
        """Whether nothing was lost, of what was more than nothing."""
        return self.accepted > 0 and not self.lost

    def __str__(self) -> str:
        return (
            f"{self.kills} kills: {self.accepted} accepted, {self.delivered} delivered, "
            f"{self.duplicated} duplicated, {self.lost} lost"
        )


class Clients:
    """Ask a server in two threads, and remember what it said."""

    def __init__(self, port: int) -> None:
        self._load = Load(port, "")
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(2)]
        self.accepted: set[str] = set()
        self.workers: Counter[int] = Counter()  # who answered
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._stopped.wait(0.002):
            if answer := self._load.ask("/"):
                event_id, pid = answer.split()
                self.accepted.add(event_id)
                self.workers[int(pid)] += 1

    def await_more(self, count: int) -> None:
        target = len(self.accepted) + count
        eventually(lambda: len(self.accepted) >= target, PATIENCE)

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE)


@contextmanager
def server(port: int, host: str, outbox: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Serve until the end of the block, which is a SIGTERM."""
    command = (
        *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "4"),
        *("--log-level", "critical", "--no-control-socket", *options),
        "tests.live.apps.killed_app:app",
    )
    variables = {"API_KEY": "dk_test", "HOST": host, "OUTBOX": outbox, "FLUSH_INTERVAL": "1"}
    environment = os.environ | {f"DATALYR_{name}": value for name, value in variables.items()}
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    finally:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a server, its workers too, which outlive their master for a while."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGSTOP)  # now it starts no others, and their ids stay theirs
    for pid in workers_of(process):
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(child) for child in children.split()]


def killed(process: subprocess.Popen[bytes], clients: Clients, times: int) -> None:
    """Kill a worker that has answered, again and again."""
    for _ in range(times):
        clients.await_more(REQUESTS)
        busy = eventually(
            lambda: [pid for pid in workers_of(process) if clients.workers[pid]], PATIENCE
        )
        os.kill(random.choice(busy), signal.SIGKILL)


def run(times: int, outbox: str, *options: str) -> Outcome:
    """Kill, and count."""
    with tempfile.TemporaryDirectory() as folder, IngestServer() as ingest:
        ingest.answer = slow(INGEST)
        url = "memory" if outbox == "memory" else f"sqlite://{folder}/outbox.db"
        port = free_port()
        with server(port, ingest.url, url, *options) as process:
            clients = Clients(port)
            killed(process, clients, times)
            clients.stop()
        accepted = clients.accepted
        with server(port, ingest.url, url, *options):
            again = Clients(port)
            eventually(lambda: again.accepted, PATIENCE)
            again.stop()
            accepted = accepted | again.accepted
            eventually(lambda: accepted <= ids(ingest).keys(), 15 if outbox == "memory" else 60)
    sent = ids(ingest)
    return Outcome(
        times,
        len(accepted),
        len(accepted & sent.keys()),
        sum(count - 1 for count in sent.values()),
        len(accepted - sent.keys()),
    )


def ids(ingest: IngestServer) -> Counter[str]:
    return Counter(body["eventId"] for body in ingest.accepted.copy())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.live.kill_nine", description=__doc__)
    parser.add_argument("--times", type=int, default=50, metavar="N", help="how often (50)")
    parser.add_argument("--outbox", choices=("memory", "sqlite"), default="sqlite")
    parser.add_argument("--preload", action="store_true", help="load the application once")
    options = parser.parse_args(arguments)
    interrupt_once()
    try:
        outcome = run(options.times, options.outbox, *(["--preload"] if options.preload else []))
    except KeyboardInterrupt:
        print("interrupted; everything that was started has been ended")
        return 2
    print(f"{options.outbox}: {outcome}")
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
