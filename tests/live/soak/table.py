"""The closing table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tests.live.soak.played import Played
from tests.live.soak.verdict import FLAT, Verdict

UNITS = {"memory": "MB", "threads": "", "files": ""}


def table(results: Iterable[tuple[Played, Verdict]]) -> Iterator[str]:
    """Write what became of everything, a column for each arrangement."""
    results = list(results)
    reasons = sorted({reason for _, verdict in results for reason in verdict.dropped})
    columns = [dict(_rows(played, verdict, reasons)) for played, verdict in results]
    names = list(dict.fromkeys(name for column in columns for name in column))
    margin = max(map(len, names), default=0)
    widths = [max(map(len, column.values())) for column in columns]
    for name in names:
        cells = (f"{column.get(name, '-'):>{w}}" for column, w in zip(columns, widths, strict=True))
        yield f"{name:<{margin}}  {'   '.join(cells)}".rstrip()
    for played, verdict in results:
        for problem in verdict.problems:
            yield f"BAD  {played.arrangement.name}: {problem}"


def _rows(played: Played, verdict: Verdict, reasons: Iterable[str]) -> Iterator[tuple[str, str]]:
    yield "arrangement", played.arrangement.name
    yield "played", _counts(played.done)
    yield "requests that faults met", _counts(played.met)
    yield "accepted", str(verdict.accepted)
    yield "= delivered", str(verdict.delivered)
    for reason in reasons:
        yield f"+ dropped: {reason}", str(verdict.dropped.get(reason, 0))
    yield "+ waiting", str(verdict.waiting)
    yield "+ lost by kill -9", str(verdict.crashed)
    yield "+ lost", str(verdict.lost)
    yield "sent twice", str(verdict.twice)
    yield "  although answered", str(verdict.needless)
    yield "not accepted", _counts(verdict.refused)
    yield "visitors mixed up", str(verdict.mixed)
    for quantity in FLAT:
        came_out = verdict.flat[quantity]
        flat = "not judged" if not came_out.judged else "NOT flat" if came_out.problems else "flat"
        most = f"{came_out.most:+.1f} {UNITS[quantity]}".rstrip()
        yield quantity, f"{flat} (at most {most} in {came_out.judged} processes)"
    yield "verdict", "good" if not verdict.problems else f"BAD: {len(verdict.problems)} problems"


def _counts(counts: Mapping[str, int]) -> str:
    told = (f"{count} {name}" for name, count in sorted(counts.items()) if name and count)
    return ", ".join(told) or "-"
