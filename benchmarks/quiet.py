"""What a request costs that tracks nothing: `python -m benchmarks.quiet`."""

from __future__ import annotations

import statistics
import sys
from functools import partial

from benchmarks._report import Goal, Section
from benchmarks._run import Run, command
from benchmarks._turns import by_turns
from benchmarks._workers import Unavailable

PLUGINS = {
    "django": "Django, WSGI",
    "django_asgi": "Django, ASGI",
    "flask": "Flask",
    "starlette": "Starlette",
}
ADDED = 3.0  # microseconds
OF_PEER = 1 / 40
BYTES = 1000
TEXT = """\
The same request with the middleware and without it, by turns in one process: the CPU time that
the middleware adds, and the memory (`tracemalloc`) that it adds at the peak of a request and
leaves after it, before Python's collector has come. Each request is a fresh one, made outside of
what is measured, and the collector's look at what is young counts as time of the middleware. Hops
to other threads, queries and headers are counted through the frameworks' own handlers."""


def benchmark(run: Run) -> Section:
    section = Section("A request that tracks nothing", TEXT)
    workers = {name: run.worker("plugins", name, 0) for name in PLUGINS}
    try:
        workers["posthog"] = run.peer("posthog", "posthog_django")
    except Unavailable as error:
        section.skipped.append(f"PostHog's middleware ({error})")
    calls = run.of(1000, 500)
    cost = by_turns(
        run.of(25, 9),
        {name: partial(each.ask, "added_time", calls) for name, each in workers.items()},
    )
    floor = statistics.median(
        workers["django"].ask("calls", calls)["new_id"] for _ in range(run.of(15, 5))
    )
    for name, title in PLUGINS.items():
        what = f"a middleware's CPU time, {title}"
        goal = Goal(ADDED, absolute=True)
        section.add(what, cost[name], "µs", "the floor of one event", floor, goal)
        if "posthog" in workers:
            beside = "PostHog's Django middleware"
            section.add(what, cost[name], "µs", beside, cost["posthog"], Goal(OF_PEER))
    peer = workers["posthog"].ask("added_memory") if "posthog" in workers else {}
    for name, title in PLUGINS.items():
        added = workers[name].ask("added_memory")
        for kind, where in (("peak", "at the peak of"), ("live", "kept after")):
            what = f"memory {where} a request, {title}"
            goal = Goal(BYTES, absolute=True)
            beside = "PostHog's Django middleware" if peer else "nothing"
            section.add(what, added[kind], "B", beside, peer.get(kind, 0), goal)
    for name, title in PLUGINS.items():
        added = run.worker("added", name).ask("added")
        for kind in ("hops", "queries", "headers"):
            bare, plugged = added[kind]
            section.add(f"{kind} of a request, {title}", plugged, "", "without", bare, Goal(1))
    return section


if __name__ == "__main__":
    sys.exit(command(benchmark))
