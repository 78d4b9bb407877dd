"""The conductor: does what the plan says, when it says so."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from tests.live.soak.plan import Step
from tests.live.soak.processes import joined
from tests.live.soak.stage import Child, Stage

JOB = "tests.live.soak.apps.job"


class Conductor:
    """Play steps on a stage."""

    def __init__(self, stage: Stage, say: Callable[[str], object]) -> None:
        self._stage, self._played = stage, stage.played
        self._say = say
        self._chance = random.Random(f"play {stage.played.seed}")
        self._jobs: list[Child] = []
        self._begun: list[threading.Thread] = []
        self._fault: tuple[str, float] | None = None
        self._kinds: dict[str, Callable[[Step], None]] = {
            "broker": self._restart_broker,
            "clock": self._step_clock,
            "fault": self._change_fault,
            "fork": self._fork,
            "job": self._begin_job,
            "kill": self._kill,
            "load": self._change_load,
            "terminate": self._terminate,
        }

    def play(self, plan: list[Step]) -> None:
        """Play a plan, and wait for the ends of what it has begun."""
        begun = time.monotonic()
        for step in plan:
            self._stage.pause(begun + step.at - time.monotonic())
            self._say(f"  {step}")
            self._kinds[step.kind](step)
            self._played.done[step.kind] += bool(step.what)
        self._stage.pause(begun + self._played.seconds - time.monotonic())
        self._end_fault()
        for thread in self._begun:
            thread.join()
        for job in self._jobs:
            if (status := joined(job)) != 0:
                self._stage.note(f"a job ended with {status}")

    def _change_load(self, step: Step) -> None:
        self._stage.visitors.rate = step.what

    def _step_clock(self, step: Step) -> None:
        self._stage.clock.set(step.what)
        self._played.offsets.append((time.monotonic(), step.what))

    def _kill(self, step: Step) -> None:
        pid, at = self._stage.victim(step.what), time.monotonic()
        # What one has lost that had ended by itself is not to be excused.
        if pid and self._signal(step.what, pid, signal.SIGKILL):
            self._played.kills[pid] = at

    def _terminate(self, step: Step) -> None:
        if pid := self._stage.victim(step.what):
            self._played.ends.append(time.monotonic())
            self._signal(step.what, pid, signal.SIGTERM)

    def _signal(self, role: str, pid: int, signum: int) -> bool:
        """Send a signal; False if the process had gone."""
        found = False
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
            found = True
        if role == "relay":  # the others have a master that starts a new one
            self._stage.begin_relay()
        return found

    def _restart_broker(self, step: Step) -> None:
        self._begin(self._stage.restart_broker)

    def _begin(self, run: Callable[..., object], *args: object, **more: object) -> None:
        """Begin what takes a while, and go on."""
        thread = threading.Thread(target=run, args=args, kwargs=more)
        thread.start()
        self._begun.append(thread)

    def _change_fault(self, step: Step) -> None:
        self._end_fault()
        if step.what:
            self._fault = (step.what, time.monotonic())
            self._stage.ingest.fault(step.what)

    def _end_fault(self) -> None:
        if self._fault:
            self._stage.ingest.fault("")
            self._played.faults.append((*self._fault, time.monotonic()))
            self._fault = None

    def _fork(self, step: Step) -> None:
        """Ask a server to fork, without waiting for its child."""
        server, _, method = step.what.partition(" ")
        who = self._stage.visitors.some(self._chance)
        told = (server, "/fork", who, f"f{len(self._begun)}")
        more = {"method": method, "many": step.many}
        self._begin(self._stage.visitors.ask, *told, **more)

    def _begin_job(self, step: Step) -> None:
        who = self._stage.visitors.some(self._chance)
        told = (f"j{len(self._jobs)}", who.visitor, who.user, step.what, str(step.many))
        self._jobs.append(self._stage.processes.start("job", "-m", JOB, *told))
