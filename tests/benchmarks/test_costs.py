"""The request path stays as short as it is: counted, or beside a floor, and never timed alone.

A bound of calls is about half as much again as what it bounds, so that a path that doubles is over
it on every version of Python; one of bytes, which vary more, is at most about twice as much as on
any of them, or a hundred. Whoever makes the path shorter lowers the bound.
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
        first: Functions, of Python and C, that the first `track` of a request calls.
        further: Functions that another one calls.
        quiet: Functions that a request calls more for Datalyr, when it tracks nothing.
        peak: Bytes that such a request takes more for Datalyr.
        kept: Bytes of it that are there before a collection of garbage.
    """

    first: int
    further: int
    quiet: int
    peak: int
    kept: int


BOUNDS = {
    # A Django request and its tracker refer to each other.
    "django": Bounds(first=136, further=75, quiet=35, peak=700, kept=2300),
    "django_asgi": Bounds(first=136, further=75, quiet=38, peak=800, kept=2300),
    # From Python 3.12 on, Flask asks `inspect` more about each function that it calls.
    "flask": Bounds(first=118, further=66, quiet=38, peak=200, kept=100),
    "starlette": Bounds(first=126, further=67, quiet=33, peak=1000, kept=180),
}
# The CPU time of `track` beside one id, one `orjson.dumps` and one append.
IN_FLOORS = {"first ratio": 3.8, "ratio": 2.2}
LEFT = 100  # bytes of a request that tracks nothing, after a collection of garbage
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
    first, further = plugin.ask("first"), plugin.ask("track")
    assert first["calls"] <= BOUNDS[name].first
    assert further["calls"] <= BOUNDS[name].further
    for counts in (first, further):
        assert (counts["encodings"], counts["random numbers"]) == (1, 1)


@pytest.mark.parametrize("which", IN_FLOORS)
def test_track_stands_beside_its_floor(which: str, plugin: Worker) -> None:
    # What else the machine does makes it larger and never smaller.
    ratios = [plugin.ask(which) for _ in range(3)]
    if None in ratios:
        pytest.skip("a tracer makes Python slower, and not the floor")
    assert min(ratios) <= IN_FLOORS[which]


def test_request_that_tracks_nothing_is_short(name: str, plugin: Worker) -> None:
    counts = plugin.ask("added")
    assert counts["calls"] <= BOUNDS[name].quiet
    assert (counts["encodings"], counts["random numbers"]) == (0, 0)


def test_request_that_tracks_nothing_takes_and_keeps_no_memory(name: str, plugin: Worker) -> None:
    memory = plugin.ask("memory")
    assert memory["peak"] <= BOUNDS[name].peak
    assert memory["live"] <= BOUNDS[name].kept
    assert memory["left"] <= LEFT
