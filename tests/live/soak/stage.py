"""What a plan is played on: an ingest, a wall clock, servers under load and their gauges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from datalyr_core.outbox.reading import read_events
from tests.live.exit_matrix.stage import free_port
from tests.live.soak import brokers, ledger
from tests.live.soak.arrangements import COMMON, Arrangement
from tests.live.soak.clock import Clock
from tests.live.soak.gauges import Gauges
from tests.live.soak.ingest import Ingest
from tests.live.soak.ledger import Ledger
from tests.live.soak.played import Played
from tests.live.soak.processes import END, Processes, joined
from tests.live.soak.servers import SERVERS, WORKERS
from tests.live.soak.visitors import Visitors

DRAIN, DRAIN_SECONDS = "tests.live.soak.apps.drain", 120.0
RELAY = "tests.live.soak.apps.relay"
DOWN = 2.0  # seconds that a broker is down at least
START = 120.0  # seconds in which all workers serve

Child = subprocess.Popen[bytes]


class Stage:
    """Set everything up for one arrangement, and end whatever was started.

    Attributes:
        played: What has come of it so far.
        broker: The broker in between; None if there is none.
        spared: Workers that live to the end, one of each server, and a relay.
    """

    def __init__(self, folder: Path, arrangement: Arrangement, seed: int, seconds: float) -> None:
        self.played = Played(arrangement, seed, seconds)
        self._folder, self._kind = folder, arrangement.broker
        self.broker = brokers.make(self._kind, folder / "broker") if self._kind else None
        self.ports = {server.name: free_port() for server in SERVERS}
        self.ledger = Ledger(folder / "ledger")
        self.ingest = Ingest()
        self.clock = Clock(folder / "clock")
        self._environment = self._made_environment(folder)
        self.processes = Processes(folder, self._environment)
        self.visitors = Visitors(seed, self.ports, [server.share for server in SERVERS])
        self.gauges = Gauges(lambda: {**self.workers(), "relay": self.ledger.workers("relay")})
        self.spared: set[int] = set()
        self._masters: dict[str, Child] = {}
        self._relays: list[Child] = []
        self._stack = ExitStack()
        self._restarting = threading.Lock()
        self._over = False
        self._never = threading.Event()  # waiting on it is a pause that Ctrl+C ends

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.clock.close)
            stack.callback(self.keep)
            stack.enter_context(self.ingest)
            if self.broker:
                stack.callback(self._close_broker)
            stack.callback(self.processes.kill_all)
            self._stack = stack.pop_all()
        return self

    def keep(self) -> None:
        """Write what arrived and what was sampled beside the ledger, for whoever wants to know."""
        lines = (json.dumps(arrival._asdict()) for arrival in self.ingest.arrivals)
        (self._folder / "arrivals.jsonl").write_text("".join(f"{line}\n" for line in lines))
        samples = ([*process, each] for process, each in self.gauges.samples.items())
        lines = (json.dumps(sample) for sample in samples)
        (self._folder / "samples.jsonl").write_text("".join(f"{line}\n" for line in lines))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _made_environment(self, folder: Path) -> dict[str, str]:
        options = {**COMMON, "host": self.ingest.url, **self.played.arrangement.options}
        return {
            **{
                f"DATALYR_{name.upper()}": str(value).format(folder=folder)
                for name, value in options.items()
            },
            ledger.FOLDER: str(self.ledger.folder),
            "SOAK_CLOCK": str(folder / "clock"),
            "PYTHONFAULTHANDLER": "1",
            "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
        }

    # Servers

    def start(self) -> None:
        """Start the servers, and wait until all workers serve."""
        if self.broker:
            self._start_broker()
        for server in SERVERS:
            port = self.ports[server.name]
            command = (part.format(port=port, workers=WORKERS) for part in server.command)
            self._masters[server.name] = self.processes.start(server.name, *command)
        for name in self.ports:
            self._until_served(name)
            self.spared.add(self.ledger.workers(name)[0])

    def _start_broker(self) -> None:
        self.broker.start()
        self._environment["DATALYR_BROKER"] = self.broker.url
        self._environment["DATALYR_BROKER_QUEUE"] = brokers.QUEUE
        for _ in range(WORKERS):
            self.begin_relay()
        self.until(lambda: len(self.ledger.workers("relay")) >= WORKERS, "the relays run", START)
        self.spared.add(self.ledger.workers("relay")[0])

    def begin_relay(self) -> None:
        """Start one more relay."""
        self._relays.append(self.processes.start("relay", "-m", RELAY))

    def _until_served(self, name: str) -> None:
        self.until(lambda: len(self.ledger.workers(name)) >= WORKERS, f"{name} serves", START)

    def workers(self) -> dict[str, list[int]]:
        """List the workers of each server that live."""
        return {name: self.ledger.workers(name) for name in self.ports}

    def victim(self, server: str) -> int | None:
        """Choose a worker that serves and is not spared; None if none comes."""

        def others() -> list[int]:
            return [pid for pid in self.ledger.workers(server) if pid not in self.spared]

        self.until(others, f"{server} has a worker to spare")
        return next(iter(others()), None)

    def end(self) -> float:
        """End the servers in the orderly way; returns how long that took, in seconds."""
        begun = time.monotonic()
        for master in self._masters.values():
            master.send_signal(signal.SIGTERM)
        for name, master in self._masters.items():
            if joined(master) is None:
                self.note(f"{name} does not end")
        return time.monotonic() - begun

    def end_relays(self) -> None:
        """End the relays in the orderly way, and see that they leave nothing."""
        for relay in self._relays:
            relay.send_signal(signal.SIGTERM)
        statuses = {joined(relay) for relay in self._relays}
        # One that has hardly begun dies of the signal.
        if bad := statuses - {0, -signal.SIGKILL, -signal.SIGTERM}:
            self.note(f"relays ended with {bad}")
        if self.broker and (left := brokers.left(self.broker.url)):
            self.note(f"{left} messages are left in the broker")

    def cut_off(self) -> None:
        """Let nothing be delivered any more."""
        if self.broker:
            self.broker.kill()
        self.ingest.fault("refuse")

    def restart_broker(self) -> None:
        """Kill the broker, and start it again with what it has on disk."""
        with self._restarting:  # it may take longer than until the next one, or than the soak
            if self._over:
                return
            begun = time.monotonic()
            self.played.ends.append(begun)
            self.broker.kill()
            self.pause(DOWN)
            self.broker.start()
        self.played.faults.append(("broker", begun, time.monotonic()))

    def _close_broker(self) -> None:
        self._over = True
        with self._restarting:
            self.broker.close()

    def drain(self) -> int:
        """Deliver what is left in a durable outbox; returns how many events that were."""
        left = len(self._waiting())
        self.ingest.fault("")
        if self.broker:
            self.broker.start()
        status = joined(self.processes.start("drain", "-m", DRAIN), DRAIN_SECONDS)
        if status != 0:
            self.note(f"the drain ended with {status}")
        self.played.waiting = self._waiting()
        if self.played.waiting:
            self.note(f"{len(self.played.waiting)} events wait after the drain")
        return left

    def _waiting(self) -> set[str]:
        """Return the tokens of events that are in a durable outbox."""
        path = self.played.arrangement.outbox(self._folder)
        waiting = read_events(path) if path else ()
        return {str(each.event.properties["token"]) for each in waiting}

    # What has come of it

    def note(self, problem: str) -> None:
        """Note what goes wrong with the playing itself."""
        self.played.notes.append(problem)

    def collect(self) -> Played:
        """Collect what is known by now."""
        if self.broker:
            self.played.dead = set(brokers.dead_letters(self.broker.url))
        played, visitors = self.played, self.visitors
        played.lines, played.arrivals = self.ledger.lines(), list(self.ingest.arrivals)
        played.samples, played.met = self.gauges.samples, dict(self.ingest.requests)
        played.promised, played.broken = visitors.promised.copy(), visitors.broken.copy()
        played.log = self.processes.log.read_text(errors="replace")
        return played

    def until(
        self, condition: Callable[[], Any], what: str, most: float = END, every: float = 0.05
    ) -> None:
        """Wait for something; note it if it does not come."""
        deadline = time.monotonic() + most
        while not condition():
            if time.monotonic() > deadline:
                self.note(f"waited {most:g} s in vain until {what}")
                return
            self.pause(every)

    def pause(self, seconds: float) -> None:
        """Wait for some time to pass."""
        self._never.wait(max(seconds, 0.0))
