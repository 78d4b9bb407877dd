"""`datalyr outbox`: what waits in a durable outbox, for people on call."""

from __future__ import annotations

import argparse
import json
import math
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from datalyr_core import options as checks
from datalyr_core.commands import fail, outbox_drain, outbox_report, say
from datalyr_core.outbox.exporting import claimed, export
from datalyr_core.outbox.reading import read_status
from datalyr_core.outbox.schema import Unusable

if TYPE_CHECKING:
    from datalyr_core.commands import Commands

LATE, UNUSABLE = 1, 2
_STATUS = """\
exit status:
  0  all is well
  1  an event has waited longer than --max-age, or more wait than --max-events
  2  the outbox cannot be read
"""
_DRAIN = """\
It ends when nothing is left, when a whole round delivers nothing, or after --timeout.

exit status:
  0    everything that dead processes left was delivered
  1    some was dropped, or is still there
  2    it cannot begin: the arguments, the outbox, the settings
  130  it was interrupted

The API key and other options come from the environment: DATALYR_API_KEY, DATALYR_HOST, …
"""
_EXPORT = """\
A line is an event as it would be sent; `datalyr import` reads it. It may hold what is known
of people: FILE can be read by you alone.

exit status:
  0  every line was written
  1  it stopped; nothing was removed that was not written
  2  it cannot begin: the arguments, the outbox, FILE
"""


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    text = "look into a durable outbox, and empty it"
    parser = commands.add_parser("outbox", help=text, description=text.capitalize())
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    add = _add(actions, "status", "what waits, how old it is, why it waits", _STATUS, _status)
    add.add_argument("--json", action="store_true", help="for programs")
    add.add_argument(
        "--max-age", type=_seconds, metavar="SECONDS", help="exit 1 if an event waits longer"
    )
    add.add_argument("--max-events", type=int, metavar="N", help="exit 1 if more wait")
    add = _add(actions, "drain", "deliver what dead processes left", _DRAIN, outbox_drain.run)
    add.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="for all of it")
    add = _add(actions, "export", "write what waits as JSON lines", _EXPORT, _export)
    add.add_argument(
        "--output", "-o", metavar="FILE", help="a new file; standard output by default"
    )
    add.add_argument(
        "--remove",
        action="store_true",
        help="only what dead processes left, and remove it once it is written",
    )


def _add(actions: Commands, name: str, text: str, epilog: str, run: Any) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        name,
        help=text,
        description=f"{text.capitalize()}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "outbox",
        nargs="?",
        type=_path,
        metavar="OUTBOX",
        help="its path or URL; what DATALYR_OUTBOX says by default",
    )
    parser.set_defaults(run=lambda options: _run(run, options))
    return parser


def _run(run: Any, options: argparse.Namespace) -> int:
    """Run an action with the path of the outbox."""
    if options.outbox is None:
        try:
            options.outbox = _path(os.environ.get("DATALYR_OUTBOX", ""))
        except argparse.ArgumentTypeError as problem:
            return fail(f"name an outbox, or set DATALYR_OUTBOX: it {problem}", UNUSABLE)
    try:
        code: int = run(options)
        return code
    except (Unusable, sqlite3.Error) as problem:
        return fail(str(problem), UNUSABLE)


def _status(options: argparse.Namespace) -> int:
    status = read_status(options.outbox)
    now = time.time()
    if options.json:
        say(json.dumps(outbox_report.as_dict(status, now)))
    else:
        say(outbox_report.as_text(status, now))
    problems = outbox_report.problems(status, now, options.max_age, options.max_events)
    for problem in problems:
        fail(problem, LATE)
    return LATE if problems else 0


def _export(options: argparse.Namespace) -> int:
    try:
        with _output(options.output) as stream:
            if not options.remove:
                count = export(options.outbox, stream)
                _complete(stream)
            else:
                with claimed(options.outbox) as claim:
                    count = claim.export(stream)
                    _complete(stream)
                    claim.remove()
    except FileExistsError:
        return fail(f"{options.output} exists already", UNUSABLE)
    except OSError as error:
        if options.output is None:
            _give_up_stdout()
        return fail(f"stopped: {error}", LATE)
    say(f"{count:,} written{' and removed' if options.remove else ''}", sys.stderr)
    left = read_status(options.outbox).events if options.remove else 0
    if left:
        say(f"{left:,} left: living processes hold and send them", sys.stderr)
    return 0


@contextmanager
def _output(path: str | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as stream:  # noqa: PTH123 - it is opened
        yield stream


def _complete(stream: BinaryIO) -> None:
    """Have everything where it goes, before anything is removed.

    Raises:
        OSError: It is not.
    """
    stream.flush()
    if stream is not sys.stdout.buffer:
        os.fsync(stream.fileno())


def _give_up_stdout() -> None:
    """Send what is still buffered nowhere: Python would try again at its end, and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _path(text: str) -> Path:
    if "://" not in text and text not in ("", "memory"):
        return Path(text)
    try:
        checks.outbox(text)
    except checks.Problem as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    if text == "memory":
        raise argparse.ArgumentTypeError("is 'memory', which nobody can look into from outside")
    return checks.outbox_path(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
