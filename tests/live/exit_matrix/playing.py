"""Play a row and count."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from tests.live.apps.ledger import Line
from tests.live.exit_matrix.rows import Result, Row
from tests.live.exit_matrix.stage import Ending, stage

ATTEMPTS = 3  # to be as quick as without the plugin; a busy machine delays now one, now the other


def played(row: Row, *, compare: bool = True) -> Result:
    """Play a row, and once more without the plugin where it is to be compared."""
    result = _played(row, compare=compare)
    for _ in range(ATTEMPTS - 1):
        if result.took_too_long and len(result.problems) == 1:
            result = _played(row, compare=compare)
    return result


def _played(row: Row, *, compare: bool) -> Result:
    with tempfile.TemporaryDirectory(prefix="exit-matrix-") as folder:
        with stage(Path(folder, "plugin"), plain=False) as there:
            ending = row.play(there)
            lines, seen, log = there.ledger(), there.delivered(), there.log()
        plain = _plain(row, Path(folder, "plain")) if compare and row.compared else None
    return _counted(row, ending, plain, lines, seen, log)


def _plain(row: Row, folder: Path) -> Ending:
    with stage(folder, plain=True) as there:
        return row.play(there)


def _counted(
    row: Row,
    ending: Ending,
    plain: Ending | None,
    lines: list[Line],
    seen: Counter[str],
    log: str,
) -> Result:
    missing = [line for line in lines if line.event_id not in seen]
    lost = [each for each in missing if not (each.pid in ending.excused and _is_late(each, ending))]
    notes = [] if row.logged in log else [f"the log does not say {row.logged!r}"]
    return Result(
        row=row,
        accepted=len(lines),
        late=sum(line.at > ending.began for line in lines),
        delivered=len(lines) - len(missing),
        twice=sum(seen.values()) - len(seen),
        lost=len(lost),
        ending=ending,
        plain=plain,
        notes=notes,
    )


def _is_late(line: Line, ending: Ending) -> bool:
    return line.at > ending.settled
