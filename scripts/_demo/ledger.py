"""The ledger: what the shops said they tracked, against what arrived."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Arrived = Mapping[str, Any]


@dataclass
class Entry:
    """One event that a shop tracked."""

    who: str
    shop: str
    event: str
    visitor: str
    user: str | None
    also: dict[str, Any] = field(default_factory=dict)  # of the body's top or its properties
    repeats: int = 0  # how often it was tracked again under the same id


class Ledger:
    """Every event that was tracked, by its id."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.problems: list[str] = []
        self.refusals: Counter[str] = Counter()  # steps of those who may not be tracked

    def note(self, event_id: str, entry: Entry) -> None:
        """Write an event down; once more under the same id is a repeat."""
        known = self.entries.setdefault(event_id, entry)
        known.repeats += known is not entry

    def complain(self, problem: str) -> None:
        """Write down something that should not be."""
        self.problems.append(problem)

    def compare(self, arrived: Iterable[Arrived]) -> list[str]:
        """Compare with what the inspector saw, and list every difference."""
        seen = _by_id(arrived)
        problems = list(self.problems)
        for event_id, entry in self.entries.items():
            problems += _differences(event_id, entry, seen.pop(event_id, []))
        for event_id, strays in seen.items():
            problems.append(f"{strays[0]['event']['event']} {event_id} arrived; nobody tracked it")
        return problems

    def table(self, arrived: Iterable[Arrived]) -> Iterator[str]:
        """Write what was tracked and what arrived, grouped by who, where and what."""
        seen = _by_id(arrived)
        groups: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
        for event_id, entry in self.entries.items():
            counts = groups[entry.who, entry.shop, entry.event, entry.user or "-"]
            counts["tracked"] += 1
            counts["arrived"] += any(not view["duplicate"] for view in seen.get(event_id, ()))
            counts["repeats"] += sum(view["duplicate"] for view in seen.get(event_id, ()))
        line = "{:<8} {:<8} {:<10} {:<18} {:>7} {:>7} {:>7}"
        yield line.format("who", "shop", "event", "user", "tracked", "arrived", "repeats")
        for names, counts in sorted(groups.items()):
            yield line.format(*names, counts["tracked"], counts["arrived"], counts["repeats"])
        for who, steps in sorted(self.refusals.items()):
            yield f"{who} took {steps} steps untracked, by their own wish"


def _by_id(arrived: Iterable[Arrived]) -> dict[str, list[Arrived]]:
    seen: dict[str, list[Arrived]] = defaultdict(list)
    for view in arrived:
        seen[view["event"]["eventId"]].append(view)
    return seen


def _differences(event_id: str, entry: Entry, views: list[Arrived]) -> Iterator[str]:
    name = f"{entry.who}'s {entry.event} in {entry.shop} ({event_id})"
    counted = sum(not view["duplicate"] for view in views)
    if counted != 1:
        yield f"{name} arrived {counted} times"
    if len(views) - counted != entry.repeats:
        yield f"{name} has {len(views) - counted} repeats, not {entry.repeats}"
    wanted = {
        "event": entry.event,
        "anonymousId": entry.visitor,
        "userId": entry.user,
        **entry.also,
    }
    for view in views:
        body = view["event"]
        said = {**body["properties"], **body}
        for key, value in wanted.items():
            if said.get(key) != value:
                yield f"{name} has the {key} {said.get(key)!r}, not {value!r}"
        yield from (f"{name} breaks the contract: {broken}" for broken in view["violations"])
