"""What a tracked event costs the request: `python -m benchmarks.track`."""

from __future__ import annotations

import statistics
import sys
from functools import partial

from benchmarks._peers import TITLES
from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import by_turns, rounds_of

PLUGINS = ("django", "flask", "starlette")
FLOORS = {"uuid4": "the floor with uuid.uuid4", "new_id": "the floor with our new_id"}
OF_PEER = {"segment": 1 / 10, "posthog": 1 / 20}
OF_FLOOR = 1.5
P99 = 3.0
RATE = 500  # events a second, a pace at which the sender is always at work
TEXT = """\
One event with four properties: the CPU time of the calling thread, with each product's sender
at work. Events of the peers go to a sink on this machine (Sentry's nowhere), in batches;
ours go nowhere here, and to the same sink where the slowest calls are told by wall time. The
floor is one event id, one `orjson.dumps` of that event, one append, in the same process."""


def benchmark(run: Run) -> Section:
    section = Section("`request.datalyr.track()`", TEXT)
    port = run.sink()
    calls, rounds = run.of(1000, 500), run.of(15, 5)
    plugins = {name: run.worker("plugins", name, 0) for name in PLUGINS}
    peers = run.contestants(list(TITLES), port, section.skipped)
    variants = {name: partial(each.ask, "calls", calls) for name, each in plugins.items()}
    for name, each in plugins.items():
        for floor in FLOORS:
            variants[f"{name} {floor}"] = partial(each.ask, "floor", floor, calls)
    variants |= {name: partial(each.ask, "calls", calls) for name, each in peers.items()}
    cost = by_turns(rounds, variants)
    for name in PLUGINS:
        what = f"`request.datalyr.track`, {name.title()}"
        for peer, limit in OF_PEER.items():
            if peer in peers:
                beside = f"{TITLES[peer]}'s call"
                section.add(what, cost[name], "µs", beside, cost[peer], Goal(limit))
        for floor, beside in FLOORS.items():
            section.add(what, cost[name], "µs", beside, cost[f"{name} {floor}"], Goal(OF_FLOOR))
    for peer in peers:
        what = f"{TITLES[peer]}'s call"
        beside = "`request.datalyr.track`, Django"
        section.add(what, cost[peer], "µs", beside, cost["django"])
    _slowest(run, section, port)
    return section


def _slowest(run: Run, section: Section, port: int) -> None:
    at_work = {name: run.worker("plugins", name, port) for name in PLUGINS}
    variants = {
        name: partial(each.ask, "paced", run.of(1500, 400), RATE) for name, each in at_work.items()
    }
    found = rounds_of(run.of(5, 3), variants, warm=False)
    for name, replies in found.items():
        p50, p99 = (statistics.median(each[kind] for each in replies) for kind in ("p50", "p99"))
        what = f"the slowest call of 100, {name.title()}"
        section.add(what, p99, "µs", "the median call", p50, Goal(P99))


if __name__ == "__main__":
    sys.exit(command(benchmark))
