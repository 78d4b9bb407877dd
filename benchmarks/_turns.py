"""Medians of rounds in which variants take turns.

Whatever else the machine does in a round is then fair to all of them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from random import Random
from typing import Any


def rounds_of(
    rounds: int, variants: Mapping[str, Callable[[], Any]], *, warm: bool = True
) -> dict[str, list[Any]]:
    """Return what each variant gave in each round, in which nobody always follows the same one.

    Args:
        rounds: How many count.
        variants: What to call, by name.
        warm: Whether a round that does not count goes before.
    """
    names = list(variants)
    found: dict[str, list[Any]] = {name: [] for name in names}
    if warm:
        for work in variants.values():
            work()
    for number in range(rounds):
        for name in Random(number).sample(names, len(names)):
            found[name].append(variants[name]())
    return found


def by_turns(
    rounds: int, variants: Mapping[str, Callable[[], float]], *, warm: bool = True
) -> dict[str, float]:
    """Return each variant's median."""
    found = rounds_of(rounds, variants, warm=warm)
    return {name: statistics.median(figures) for name, figures in found.items()}


def median_of(replies: list[dict[str, float]], name: str) -> float:
    """Return the median of one of the figures that a variant gave in each round."""
    return statistics.median(reply[name] for reply in replies)


def percentile(figures: list[float], cut: int) -> float:
    """Return what so many of a hundred figures are at most."""
    return statistics.quantiles(figures, n=100)[cut - 1]
