"""Play the plan of a seed in an arrangement, and collect what came of it."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from tests.live.soak.accounts import Accounts
from tests.live.soak.arrangements import Arrangement
from tests.live.soak.conductor import Conductor
from tests.live.soak.plan import make_plan
from tests.live.soak.played import Played
from tests.live.soak.stage import Stage

SETTLE = 150.0  # seconds in which everything arrives once all is well; 60 may be asked for
LEFT = 60  # requests whose events are left in a durable outbox
RATE = 80.0  # events a second, to begin with


def play(
    arrangement: Arrangement,
    seed: int,
    seconds: float,
    say: Callable[[str], object] = print,
    keep: Path | None = None,
) -> Played:
    """Play a plan, and end whatever was started for it.

    Args:
        arrangement: Where events wait and where they go.
        seed: Decides the plan.
        seconds: How long the plan is.
        say: Hears of each step.
        keep: A new folder for the ledger and the log; they are not kept by default.
    """
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        stage = stack.enter_context(Stage(folder, arrangement, seed, seconds))
        stage.start()
        stage.visitors.rate = RATE
        with stage.gauges, stage.visitors:
            plan = make_plan(seed, seconds, tuple(stage.ports), broker=bool(arrangement.broker))
            Conductor(stage, say).play(plan)
            stage.visitors.stop()
            _settle(stage)
            _audit(stage)
        if arrangement.durable:
            _leave_some(stage)
        say(f"  all ended {stage.end():.1f} s after SIGTERM")
        if arrangement.durable:
            say(f"  {stage.drain()} events were left, and are drained")
        if arrangement.broker:
            _settle(stage)
            stage.end_relays()
        stage.until(lambda: not stage.processes.left(), "no process is left behind")
        return stage.collect()


def _settle(stage: Stage) -> None:
    """Wait until whatever was accepted has arrived or was dropped."""

    def nothing_is_missing() -> bool:
        return not Accounts(stage.collect()).of_fate("lost")

    stage.until(nothing_is_missing, "everything has arrived", SETTLE, every=0.5)


def _audit(stage: Stage) -> None:
    """Have every worker note the counts of its client."""
    who = stage.visitors.some(random.Random(0))

    def ask(server: str) -> None:
        stage.visitors.ask(server, "/stats", who, "")

    def silent() -> set[str]:
        with ThreadPoolExecutor(8) as pool:  # at once, so that no worker takes all of them
            list(pool.map(ask, [name for name in stage.ports for _ in range(4)]))
        told = {line.pid for line in stage.ledger.lines() if line.kind == "stats"}
        every = ((name, pid) for name, pids in stage.workers().items() for pid in pids)
        return {f"{name} {pid}" for name, pid in every if pid not in told}

    stage.until(lambda: not silent(), "every worker tells its counts", every=0.5)
    if missing := silent():
        stage.note(f"{', '.join(sorted(missing))} did not")


def _leave_some(stage: Stage) -> None:
    """Have events accepted that cannot be delivered any more before the end."""
    stage.cut_off()
    chance = random.Random(stage.played.seed)
    for number in range(LEFT):
        server = chance.choice(list(stage.ports))
        stage.visitors.ask(server, "/several", stage.visitors.some(chance), f"l{number}")
