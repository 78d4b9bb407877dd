"""What must hold after a soak; each check tells of everything that does not."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from tests.live.soak.accounts import NEVER_ACCEPTED, Accounts, Tracked
from tests.live.soak.arrangements import FLUSH_INTERVAL, MAX_QUEUE
from tests.live.soak.ingest import Arrival
from tests.live.soak.ledger import Line
from tests.live.soak.played import Played

QUIET = 15.0  # seconds of health after which an event waits no longer than for the next flush
YOUNG = FLUSH_INTERVAL + 5.0  # seconds; what waits then is younger, on a busy machine too
LATE = 1.0  # seconds by which the ingest may be late to note an arrival
_NO_DROPS = {"", "delivered", "waiting", "crashed", "lost"}
STEPPED = 50.0  # seconds that an event's time is off the truth where the wall clock is


def lost(accounts: Accounts) -> Iterator[str]:
    """Nothing that was accepted is gone without a word."""
    for each in accounts.of_fate("lost"):
        yield f"{each.token}, which {each.pid} had accepted"


def delivers(accounts: Accounts) -> Iterator[str]:
    """Something arrives; of nothing, nothing can be lost."""
    if not accounts.arrived:
        yield "nothing was delivered"


def drops(accounts: Accounts) -> Iterator[str]:
    """Nothing is given up that did not have to be, whatever reason is told."""
    for each in accounts.tracked.values():
        fate = accounts.fate(each) if accounts.is_accepted(each) else each.reason
        if fate not in _NO_DROPS and not _had_to_be(accounts.played, each, fate):
            yield f"{each.token} was given up ({fate}), and nothing called for that"


def _had_to_be(played: Played, each: Tracked, fate: str) -> bool:
    over = each.dropped_at or float("inf")  # nobody tells when a relay gives something up
    match fate:
        case "consent":
            return each.opted_out
        case "permanent_client_error" | "dead_letter":
            rejects = (fault[1:] for fault in played.faults if fault[0] == "reject")
            return any(began < over and each.at < end for began, end in rejects)
        case "close_timeout" | "max_flush_attempts" | "queue_overflow":
            # A durable outbox has room for all of a soak, and keeps what an exit leaves.
            return not played.arrangement.durable and _was_ill(played, each.at - QUIET, over)
    return False


def crashes(accounts: Accounts) -> Iterator[str]:
    """A `kill -9` takes along what waits in memory, and no more than can wait there."""
    taken: dict[int, list[Tracked]] = defaultdict(list)
    for each in accounts.of_fate("crashed"):
        taken[each.pid].append(each)
    for pid, events in taken.items():
        at = accounts.played.kills[pid]
        if len(events) > MAX_QUEUE:
            yield f"{pid} took {len(events)} events along, and only {MAX_QUEUE} can wait"
        oldest = at - min(each.at for each in events)
        if oldest > YOUNG and not _was_ill(accounts.played, at - oldest - QUIET, at):
            yield f"{pid} took an event along that had waited for {oldest:.1f} s in good health"


def _was_ill(played: Played, begin: float, end: float) -> bool:
    return any(began < end and over > begin for _, began, over in played.faults)


def identities(accounts: Accounts) -> Iterator[str]:
    """Every arrival bears the ids of its own visitor, user and event."""
    known = {each.visitor for each in accounts.tracked.values() if each.visitor}
    fresh: dict[str, str] = {}  # ids of visitors who brought none, by request…
    owners: dict[str, str] = {}  # …and the requests by id
    events: dict[str, str] = {}  # tokens by event id
    for arrival in accounts.played.arrivals:
        each = accounts.tracked.get(arrival.token)
        if each is None:
            yield f"{arrival.token!r} arrived, and nobody had tracked it"
            continue
        wanted = each.visitor
        if not wanted:
            request = each.token.rpartition(".")[0]
            wanted = fresh.setdefault(request, arrival.visitor)
            if wanted in known or owners.setdefault(wanted, request) != request:
                yield f"{each.token} of a new visitor came with somebody's id, {wanted}"
        yield from _of_others(each, arrival, wanted)
        if events.setdefault(arrival.event_id, each.token) != each.token:
            yield f"{each.token} came with the event id of {events[arrival.event_id]}"


def _of_others(each: Tracked, arrival: Arrival, wanted: str) -> Iterator[str]:
    if each.opted_out:
        yield f"{each.token} came, of {each.visitor}, who has opted out"
    if {arrival.visitor, arrival.mirror} != {wanted}:
        yield f"{each.token} of {wanted} came as {arrival.visitor}, in properties {arrival.mirror}"
    if (arrival.user or "") != each.user:
        yield f"{each.token} of {each.user or 'nobody'} came as {arrival.user or 'nobody'}"
    if each.event_id and arrival.event_id != each.event_id:
        yield f"{each.token} is {each.event_id}, and came as {arrival.event_id}"


def needless(accounts: Accounts) -> list[tuple[Arrival, Arrival]]:
    """Return arrivals whose sender was answered, each with the next one of the same event."""
    pairs = (pair for each in accounts.arrived.values() for pair in pairwise(each))
    return [(one, again) for one, again in pairs if one.answered]


def repeats(accounts: Accounts) -> Iterator[str]:
    """Nothing is sent again that was answered.

    But around the end of a process, where something waits outside of processes: the answer may
    have come too late to be noted.
    """
    played = accounts.played
    ends = [*played.kills.values(), *played.ends]
    survivors = {line.pid for line in played.lines if line.kind == "stats"}
    for one, again in needless(accounts):
        each = accounts.tracked.get(one.token)
        ended = any(one.at - LATE < end < again.at for end in ends)
        ended = ended or (each is not None and each.pid not in survivors)
        if not (ended and played.arrangement.at_least_once):
            later = f"{again.at - one.at:.1f} s later"
            yield f"{one.token} came again, though its sender had its answer ({later})"


def counts(accounts: Accounts) -> Iterator[str]:
    """The clients' own counts add up, and are what their processes wrote down."""
    by_process = accounts.by_process()
    for line in accounts.played.lines:
        if line.kind == "stats":
            mine = [each for each in by_process.get(line.pid, ()) if each.at < line.at]
            yield from _counted(accounts.played, line, mine)


def _counted(played: Played, told: Line, mine: Sequence[Tracked]) -> Iterator[str]:
    pid, stats = told.pid, told.what[0]
    dropped = {reason: count for reason, count in stats["dropped"].items() if count}
    given_up = sum(dropped[reason] for reason in dropped.keys() - NEVER_ACCEPTED)
    taken_in = stats["accepted"] + stats.get("taken_over", 0)
    if taken_in != stats["delivered"] + given_up + stats["waiting"]:
        yield f"those of {pid} do not add up: {stats}"
    accepted = sum(bool(each.event_id) or each.reason == "queue_overflow" for each in mine)
    if accepted != stats["accepted"]:
        yield f"{pid} says that it accepted {stats['accepted']}, and it was {accepted}"
    drops = (line for line in played.lines if line.pid == pid and line.kind == "dropped")
    heard = Counter(line.what[1] for line in drops if line.at < told.at)
    if heard != dropped:
        yield f"{pid} says that it dropped {dropped}, and on_drop heard of {dict(heard)}"


def ledger(accounts: Accounts) -> Iterator[str]:
    """Calls return, what they return is so, and what a visitor is told of is written down."""
    for each in accounts.tracked.values():
        if each.refused and not each.reason:
            yield f"{each.token} was refused, and on_drop did not hear why"
        if each.reason in NEVER_ACCEPTED and accounts.is_accepted(each):
            yield f"{each.token} was dropped ({each.reason}) and accepted all the same"
        if not (each.event_id or each.refused or each.pid in accounts.played.kills):
            yield f"the call that tracks {each.token} did not return in {each.pid}"
    for token in sorted(accounts.played.promised - accounts.tracked.keys()):
        yield f"a visitor was told of {token}, and nobody wrote it down"


def children(accounts: Accounts) -> Iterator[str]:
    """Forked children end, and end well."""
    for line in accounts.played.lines:
        if line.kind == "ended" and line.what[1] != 0:
            yield f"{line.what[0]}, a child of {line.pid}, ended with {line.what[1]}"


def clock(accounts: Accounts) -> Iterator[str]:
    """The wall clock was really stepped; otherwise its steps would show nothing."""
    played = accounts.played
    stood = [offset for (_, offset) in played.offsets if abs(offset) > STEPPED]
    if stood and not any(abs(_off(arrival, played)) > STEPPED for arrival in played.arrivals):
        yield f"no event bears the time of a clock that is {stood[0]:g} s off"


def _off(arrival: Arrival, played: Played) -> float:
    return datetime.fromisoformat(arrival.timestamp).timestamp() - arrival.at - played.wall


def log(accounts: Accounts) -> Iterator[str]:
    """No application fails, and no exception is logged."""
    yield from accounts.played.broken
    trace = r"^Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(.*)"
    yield from (found[1] for found in re.finditer(trace, accounts.played.log, re.MULTILINE))


def few(check: Iterable[str], most: int = 5) -> Sequence[str]:
    """List the first of some problems, and say how many more there are."""
    every = list(check)
    more = [f"… and {len(every) - most} more of this kind"] if len(every) > most else []
    return [*every[:most], *more]
