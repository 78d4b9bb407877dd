"""What a tracked event costs the request: `python -m benchmarks.track`."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks._peers import TITLES
from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import median_of, rounds_of

PLUGINS = ("django", "flask", "starlette")
FLOORS = {"uuid4": "the floor with uuid.uuid4", "new_id": "the floor with our new_id"}
OF_PEER = {"segment": 1 / 10, "posthog": 1 / 20}
OF_FLOOR = 1.5
P99 = 3.0
RATE = 500  # events a second, a pace at which the sender is always at work
TEXT = """\
One event with four properties: the CPU time of the calling thread, with each product's sender
at work. The first of a request, which is the only one of most, reads consent, the cookie and the
user, which further ones know. Events of the peers go to a sink on this machine (Sentry's
nowhere), in batches; ours go nowhere here, and to the same sink where the slowest calls are told
by wall time. The floor is one event id, one `orjson.dumps` of that event, one append: by turns of
a hundred with the calls that it stands beside, in the same process. None of that runs on the
sink's core, where there are two, since one core may be slower than the other. The slowest calls
are those of 500 requests a second, each in the middle of a view, and the floor comes between them
at the same pace: a call after a pause is slower than one in a loop, whatever it does. There the
sender may use every core, since on the caller's it would push it aside."""


def benchmark(run: Run) -> Section:
    section = Section("`request.datalyr.track()`", TEXT)
    port = run.sink()
    calls, rounds = run.of(1000, 500), run.of(11, 5)
    plugins = {name: run.worker("plugins", name, 0) for name in PLUGINS}
    peers = run.contestants(list(TITLES), port, section.skipped)
    variants = {name: partial(each.ask, "calls", calls) for name, each in (plugins | peers).items()}
    found = rounds_of(rounds, variants)
    cost = {name: median_of(replies, "call") for name, replies in found.items()}
    first = {name: median_of(found[name], "first") for name in PLUGINS}
    for which, ours in (("first of a request", first), ("further ones", cost)):
        for name in PLUGINS:
            what = f"`request.datalyr.track`, {which}, {name.title()}"
            for peer, limit in OF_PEER.items():
                if peer in peers:
                    beside = f"{TITLES[peer]}'s call"
                    section.add(what, ours[name], "µs", beside, cost[peer], Goal(limit))
            for floor, beside in FLOORS.items():
                least = median_of(found[name], floor)
                section.add(what, ours[name], "µs", beside, least, Goal(OF_FLOOR))
    for peer in peers:
        what = f"{TITLES[peer]}'s call"
        beside = "`request.datalyr.track`, first of a request, Django"
        section.add(what, cost[peer], "µs", beside, first["django"])
    _slowest(run, section, port)
    return section


def _slowest(run: Run, section: Section, port: int) -> None:
    at_work = {name: run.worker("plugins", name, port, cores=None) for name in PLUGINS}
    variants = {
        name: partial(each.ask, "paced", run.of(1000, 400), RATE) for name, each in at_work.items()
    }
    found = rounds_of(run.of(5, 3), variants, warm=False)
    for kind, beside in (("call", "the median call"), ("floor", "its median")):
        for name, replies in found.items():
            what = f"the slowest {kind} of 100, {name.title()}"
            goal = Goal(P99) if kind == "call" else None
            p50, p99 = (median_of(replies, f"{kind} p{cut}") for cut in (50, 99))
            section.add(what, p99, "µs", beside, p50, goal)


if __name__ == "__main__":
    sys.exit(command(benchmark))
