"""The verdict: accepted = delivered + dropped + waiting, nobody mixed up, everything flat."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.live.soak import checks, gauges
from tests.live.soak.accounts import Accounts
from tests.live.soak.played import Played

CHECKS = (
    checks.delivers,
    checks.lost,
    checks.drops,
    checks.crashes,
    checks.identities,
    checks.repeats,
    checks.counts,
    checks.ledger,
    checks.children,
    checks.clock,
    checks.log,
)
FLAT = ("memory", "threads", "files")
_OTHERWISE = ("delivered", "waiting", "crashed", "lost")  # what becomes of events but for drops


@dataclass(kw_only=True)
class Verdict:
    """What became of everything.

    Attributes:
        accepted: Events that were taken in.
        delivered: Those that the ingest has.
        dropped: Those that were given up, by reason.
        waiting: Those that are still somewhere.
        crashed: Those that a `kill -9` took along.
        lost: Those that nobody can account for.
        refused: Events that were never accepted, by reason.
        twice: Arrivals of an event that was there already…
        needless: …and such events where the sender had been told so.
        mixed: Arrivals with somebody else's ids.
        flat: How memory, threads and descriptors came out.
        problems: Everything that is wrong; nothing if all is well.
    """

    accepted: int
    delivered: int
    dropped: dict[str, int]
    waiting: int
    crashed: int
    lost: int
    refused: dict[str, int]
    twice: int
    needless: int
    mixed: int
    flat: dict[str, gauges.Flatness] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def judge(played: Played) -> Verdict:
    """Compare what was accepted with what arrived, and look at the gauges."""
    accounts = Accounts(played)
    fates: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for each in accounts.tracked.values():
        if accounts.is_accepted(each):
            fates[accounts.fate(each)] += 1
        else:
            refused[each.reason or "killed in the call"] += 1
    flat = {quantity: gauges.judge(played.samples, quantity) for quantity in FLAT}
    return Verdict(
        accepted=fates.total(),
        dropped={reason: count for reason, count in fates.items() if reason not in _OTHERWISE},
        **{fate: fates[fate] for fate in _OTHERWISE},
        refused=refused,
        twice=len(played.arrivals) - len(accounts.arrived),
        needless=len(checks.needless(accounts)),
        mixed=sum(1 for _ in checks.identities(accounts)),
        flat=flat,
        problems=[
            *played.notes,
            *(problem for check in CHECKS for problem in checks.few(check(accounts))),
            *(problem for each in flat.values() for problem in each.problems),
        ],
    )
