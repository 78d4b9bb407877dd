"""The accounts: each event that was tracked, and what became of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.live.soak.ingest import Arrival
from tests.live.soak.ledger import Line
from tests.live.soak.played import Played

# Dropped for one of these, an event was never accepted.
NEVER_ACCEPTED = frozenset({"before_send", "closed", "consent", "validation_error"})


@dataclass
class Tracked:
    """One event, as the process that tracked it tells of it.

    Attributes:
        token: What it is called here.
        visitor: Whose it is; "" of a visitor without an id.
        user: Who the server knows them to be; "" for nobody.
        opted_out: Whether it must not be sent.
        pid: The process.
        at: When it was tracked, on the monotonic clock.
        event_id: What `track` returned; "" if that was None, or if it did not return.
        refused: Whether it returned None.
        reason: Why it was dropped; "" if it was not.
        dropped_at: When `on_drop` heard of that.
    """

    token: str
    visitor: str
    user: str
    opted_out: bool
    pid: int
    at: float
    event_id: str = ""
    refused: bool = False
    reason: str = ""
    dropped_at: float = 0.0


class Accounts:
    """Bring the ledger and the arrivals together.

    Attributes:
        played: What they are of.
        tracked: Every event, by its token.
        arrived: Its arrivals, in order; none of an event that has not arrived.
    """

    def __init__(self, played: Played) -> None:
        self.played = played
        self.tracked = _tracked(played.lines)
        self.arrived: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in played.arrivals:
            self.arrived[arrival.token].append(arrival)
        self.arrived.default_factory = None

    def by_process(self) -> dict[int, list[Tracked]]:
        """Group the events by the process that tracked them."""
        found: dict[int, list[Tracked]] = defaultdict(list)
        for each in self.tracked.values():
            found[each.pid].append(each)
        return found

    def is_accepted(self, each: Tracked) -> bool:
        """Tell whether an event was taken in, also if its process died before it said so.

        What a full queue gives up was taken in, though at once.
        """
        return bool(each.event_id or each.token in self.arrived or each.reason == "queue_overflow")

    def fate(self, each: Tracked) -> str:
        """Say what became of an accepted event.

        Returns:
            "delivered", a reason for which it was dropped, "dead_letter", "waiting", "crashed"
            or "lost".
        """
        if each.token in self.arrived:
            return "delivered"
        if each.reason:
            return each.reason
        if each.token in self.played.dead:
            return "dead_letter"
        if each.token in self.played.waiting:
            return "waiting"
        crashed = each.pid in self.played.kills and not self.played.arrangement.durable
        return "crashed" if crashed else "lost"

    def of_fate(self, fate: str) -> list[Tracked]:
        """List the accepted events of one fate."""
        accepted = filter(self.is_accepted, self.tracked.values())
        return [each for each in accepted if self.fate(each) == fate]


def _tracked(lines: Iterable[Line]) -> dict[str, Tracked]:
    tracked: dict[str, Tracked] = {}
    for kind, pid, at, what in lines:
        if kind == "tracking":
            token, visitor, user, opted_out = what
            tracked[token] = Tracked(token, visitor, user, opted_out, pid, at)
        elif kind in ("accepted", "refused", "dropped") and (each := tracked.get(what[0])):
            each.event_id = what[1] if kind == "accepted" else each.event_id
            each.refused = each.refused or kind == "refused"
            if kind == "dropped":
                each.reason, each.dropped_at = what[1], at
    return tracked
