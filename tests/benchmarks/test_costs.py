"""The request path stays as short as it is: counted, or beside a floor, and never timed alone.

A bound is about half as much again as what it bounds, so that a path that doubles is over it on
every version of Python. Whoever makes the path shorter lowers the bound.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from benchmarks._workers import Worker


class Bounds(NamedTuple):
    """What one request may cost.

    Attributes:
        track: Functions, of Python and C, that `request.datalyr.track` calls.
        quiet: Functions that a request calls more for Datalyr, when it tracks nothing.
        peak: Bytes that such a request takes more for Datalyr.
    """

    track: int
    quiet: int
    peak: int


BOUNDS = {
    "django": Bounds(track=75, quiet=35, peak=700),
    "django_asgi": Bounds(track=75, quiet=38, peak=700),
    "flask": Bounds(track=66, quiet=30, peak=400),
    "starlette": Bounds(track=67, quiet=33, peak=1000),
}
IN_FLOORS = 2.2  # the CPU time of `track` beside one id, one `orjson.dumps` and one append
KEPT = 500  # bytes of a request that tracks nothing, before a collection of garbage
_LEFT_OUT = os.environ.get("DATALYR_TESTS_WITHOUT", "").split(",")


@pytest.fixture(scope="module", params=BOUNDS)
def name(request: pytest.FixtureRequest) -> str:
    made: str = request.param
    if made.partition("_")[0] in _LEFT_OUT:
        pytest.skip(f"{made} is left out of this run")
    return made


@pytest.fixture(scope="module")
def plugin(name: str) -> Iterator[Worker]:
    """A plugin in a process of its own, whose client sends nowhere."""
    with Worker("counts", name) as worker:
        yield worker


def test_track_is_short(name: str, plugin: Worker) -> None:
    counts = plugin.ask("track")
    assert counts["calls"] <= BOUNDS[name].track
    assert (counts["encodings"], counts["random numbers"]) == (1, 1)


def test_track_stands_beside_its_floor(plugin: Worker) -> None:
    # What else the machine does makes it larger and never smaller.
    ratios = [plugin.ask("ratio") for _ in range(3)]
    if None in ratios:
        pytest.skip("a tracer makes Python slower, and not the floor")
    assert min(ratios) <= IN_FLOORS


def test_request_that_tracks_nothing_is_short(name: str, plugin: Worker) -> None:
    counts = plugin.ask("added")
    assert counts["calls"] <= BOUNDS[name].quiet
    assert (counts["encodings"], counts["random numbers"]) == (0, 0)


def test_request_that_tracks_nothing_takes_and_keeps_no_memory(name: str, plugin: Worker) -> None:
    memory = plugin.ask("memory")
    assert memory["peak"] <= BOUNDS[name].peak
    assert memory["live"] <= KEPT
