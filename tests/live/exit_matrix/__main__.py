"""Print the matrix: `python -m tests.live.exit_matrix`."""

from __future__ import annotations

import argparse
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

from tests.live.exit_matrix.catalogue import catalogue
from tests.live.exit_matrix.playing import played
from tests.live.exit_matrix.rows import Result, Row
from tests.support.signals import restore_interrupt

COLUMNS = (
    f"{'arrangement':<46} {'end':<26} {'accepted':>8} {'late':>5} {'delivered':>9} {'twice':>5} "
    f"{'with':>7} {'without':>7} {'exit':>4}  verdict"
)


def main(arguments: list[str] | None = None) -> int:
    """Play the rows that are asked for; 1 if any of them is bad."""
    options = _parser().parse_args(arguments)
    rows = [row for row in catalogue() if _is_asked_for(row, options)]
    if options.list:
        print(*(f"{row.name}{'  (slow)' if row.slow else ''}" for row in rows), sep="\n")
        return 0
    restore_interrupt()
    return _play(rows, options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.live.exit_matrix", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="play rows side by side")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="rows with this in their name"
    )
    parser.add_argument("--slow", action="store_true", help="also rows that CI does not run")
    parser.add_argument("--list", action="store_true", help="name the rows and play none")
    return parser


def _is_asked_for(row: Row, options: argparse.Namespace) -> bool:
    wanted = [text.lower() for text in options.only]
    named = any(text in row.name.lower() for text in wanted)
    return (named or not wanted) and (options.slow or not row.slow)


def _play(rows: list[Row], jobs: int) -> int:
    there = [row for row in rows if not row.missing()]
    for row in rows:
        if row not in there:
            print(f"skipped: {row.name} (needs {', '.join(row.missing())})")
    print(COLUMNS, flush=True)
    good = 0
    with ThreadPoolExecutor(jobs) as pool:
        for row, text, is_good in pool.map(_told, there):
            print(f"{row.arrangement:<46} {row.end:<26} {text}", flush=True)
            good += is_good
    skipped = len(rows) - len(there)
    print(f"{len(rows)} rows, {good} good, {len(there) - good} bad, {skipped} skipped")
    return 0 if good == len(there) else 1


def _told(row: Row) -> tuple[Row, str, bool]:
    try:
        result = played(row)
    except Exception as error:
        last = "".join(traceback.format_exception_only(error)).partition("\n")[0]
        return row, f"could not be played: {last}", False
    return row, f"{_cells(result)}  {_verdict(result)}", not result.problems


def _cells(result: Result) -> str:
    without = f"{result.plain.seconds:.2f} s" if result.plain else "-"
    return (
        f"{result.accepted:>8} {result.late:>5} {result.delivered:>9} {result.twice:>5} "
        f"{result.ending.seconds:>5.2f} s {without:>7} {result.ending.status!s:>4}"
    )


def _verdict(result: Result) -> str:
    if result.problems:
        return "BAD: " + "; ".join(result.problems)
    lost = result.accepted - result.delivered
    why = [result.row.crash and f"crash: {result.row.crash}", result.row.lossy]
    if result.is_locked:
        why.append(result.row.locks)
    return "; ".join(["good", *filter(None, why), *([f"{lost} lost"] if lost else [])])


if __name__ == "__main__":
    sys.exit(main())
