"""What a delivered event costs the process in all: `python -m benchmarks.delivery`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from benchmarks._cores import ONE
from benchmarks._report import Goal, Section
from benchmarks._run import FAST, Run, command
from benchmarks._turns import median_of, rounds_of
from benchmarks._workers import Worker

TITLES = {
    "socket": "a bare socket",
    "http.client": "http.client",
    "datalyr": "Datalyr",
    FAST: 'Datalyr, `transport="fast"`',
    "segment": "Segment",
    "posthog": "PostHog",
    "snowplow": "Snowplow",
    "rudderstack": "RudderStack",
}
OF_SOCKET = {"datalyr": 7.0, FAST: 2.0}
OF_POSTHOG = {FAST: 1.0}
ON_ONE_CORE = ("socket", "datalyr", FAST)
NEAR = ", on the sink's core"
TEXT = """\
The CPU time of the whole process for one event, from the call to the answer of a sink in another
process. The floor is a bare socket: one thread, one connection that is kept, a request that is
ready, `sendall` and `recv`. The goals are told with a sink that has a core to itself, since an
ingest is another machine; all others share the rest. A send that stays on one core wakes no other
one, so that the floor costs a third there and the ratios to it are about twice as large: the last
rows tell them too. Datalyr's ingest takes one event a request; Segment, PostHog and RudderStack
send up to 100 in one, Snowplow 10."""


def benchmark(run: Run) -> Section:
    section = Section("An event that is delivered", TEXT)
    sink, count = run.away("sink", 0), run.of(600, 500)
    port = sink.ask("port")
    workers = run.contestants(list(TITLES), port, section.skipped)
    variants = {name: partial(_delivered, each, sink, count) for name, each in workers.items()}
    near = _on_one_core(run, [name for name in ON_ONE_CORE if name in workers], count)
    found = rounds_of(run.of(24, 8), variants | near)
    cost = {name: median_of(replies, "cpu") for name, replies in found.items()}
    for name in workers:
        what = f"one event, {TITLES[name]}"
        goal = Goal(OF_SOCKET[name]) if name in OF_SOCKET else None
        section.add(what, cost[name], "µs", TITLES["socket"], cost["socket"], goal)
        if name in OF_POSTHOG and "posthog" in cost:
            goal = Goal(OF_POSTHOG[name])
            section.add(what, cost[name], "µs", TITLES["posthog"], cost["posthog"], goal)
        requests = median_of(found[name], "requests")
        section.notes.append(f"{TITLES[name]}: {requests:.3g} requests an event")
    for name in near:
        what, beside = (f"{TITLES[each.removesuffix(NEAR)]}{NEAR}" for each in (name, "socket"))
        section.add(f"one event, {what}", cost[name], "µs", beside, cost[f"socket{NEAR}"])
    if not near:
        section.skipped.append("clients on the sink's core (nothing can be kept to a core here)")
    return section


def _on_one_core(
    run: Run, names: list[str], count: int
) -> dict[str, Callable[[], dict[str, float]]]:
    if ONE is None:
        return {}
    sink = run.worker("sink", 0, cores=ONE)
    port = sink.ask("port")
    workers = {name: run.worker("contestants", name, port, cores=ONE) for name in names}
    return {
        f"{name}{NEAR}": partial(_delivered, each, sink, count) for name, each in workers.items()
    }


def _delivered(worker: Worker, sink: Worker, count: int) -> dict[str, float]:
    before = sink.ask("requests")
    found: dict[str, float] = worker.ask("delivery", count)
    requests = sink.ask("requests") - before
    if not requests:
        raise RuntimeError("nothing has come to the sink")
    return {**found, "requests": requests / count}


if __name__ == "__main__":
    sys.exit(command(benchmark))
