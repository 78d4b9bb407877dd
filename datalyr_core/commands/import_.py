"""`datalyr import`: historical events out of JSON lines or CSV."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from datalyr_core import lifecycle
from datalyr_core.commands import INTERRUPTED, fail, say
from datalyr_core.commands.arguments import pair
from datalyr_core.config import Config
from datalyr_core.errors import ConfigurationError
from datalyr_core.importing.mapping import FIELDS, KINDS, REST, Columns
from datalyr_core.importing.plan import Plan, Tally, carry_out, try_out
from datalyr_core.importing.rows import Halt
from datalyr_core.importing.run import End
from datalyr_core.importing.source import STDIN

if TYPE_CHECKING:
    from datalyr_core.commands import Commands

REJECTED, UNUSABLE, STOPPED = 1, 2, 3
_STATUSES = """\
exit status:
  0    every row was delivered, or is good (--dry-run)
  1    some rows were rejected
  2    it cannot begin: arguments, the file, the state, the settings
  3    it stopped: the ingest refuses the key, or the rest cannot be read
  130  it was interrupted
After 3 and 130 the same command goes on where it stopped.

The API key and other options come from the environment: DATALYR_API_KEY, DATALYR_HOST, …
"""


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    text = "import historical events out of JSON lines or CSV"
    parser = commands.add_parser(
        "import",
        help=text,
        description=text.capitalize(),
        epilog=_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_reading(parser.add_argument)
    _add_running(parser.add_argument)
    parser.set_defaults(run=_import)


def _add_reading(add: Callable[..., Any]) -> None:
    add("file", metavar="FILE", help="JSON lines or CSV, gzip as well; - for standard input")
    add("--format", choices=("jsonl", "csv"), help="by default, what the file looks like")
    add("--delimiter", type=_delimiter, default=",", help="between CSV cells; 'tab' for a tab")
    add(
        "--map",
        metavar="FIELD=COLUMN",
        action="append",
        type=_field,
        default=[],
        help=f"where a field is: {', '.join(FIELDS)}",
    )
    add(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        type=_field,
        default=[],
        help="a field of rows that have none, such as event=Signup",
    )
    add(
        "--property",
        metavar="NAME[:KIND]=COLUMN",
        action="append",
        type=_property,
        default=[],
        help=f"a property; kinds: {', '.join(KINDS)}; '*' for every other column",
    )


def _add_running(add: Callable[..., Any]) -> None:
    add("--rate", type=_rate, metavar="N", help="events a second at most")
    add("--dry-run", action="store_true", help="check every row and send nothing")
    add("--state", metavar="PATH", help="where to note how far it is; FILE.import.json by default")
    add("--rejects", metavar="PATH", help="write rejected rows to this file")


def _import(options: argparse.Namespace) -> int:
    if options.file == STDIN and options.state:
        return fail("standard input cannot be read again: --state needs a FILE", UNUSABLE)
    plan = _plan(options)
    try:
        return _try_out(plan) if options.dry_run else _carry_out(plan)
    except (Halt, ConfigurationError) as problem:
        return fail(str(problem), UNUSABLE)


def _try_out(plan: Plan) -> int:
    tally = try_out(plan, sys.stderr)
    _report(tally, "good", "bad")
    return _status(tally)


def _carry_out(plan: Plan) -> int:
    # Until the report is out: no Ctrl+C may take it or the state.
    with lifecycle.counted_interruptions() as interruptions, _own_log():
        config = Config.from_env()
        if not config.enabled:
            return fail("DATALYR_ENABLED is off, so nothing would be sent", UNUSABLE)
        tally = carry_out(plan, config, sys.stderr, interruptions)
        _report(tally, "delivered", "rejected")
        _say_what_next(tally, plan)
        return _status(tally)


def _plan(options: argparse.Namespace) -> Plan:
    properties = dict(options.property)
    rest = properties.pop(REST, None) is not None
    columns = Columns(dict(options.map), properties, dict(options.set), rest)
    return Plan(
        options.file,
        columns,
        options.format,
        options.delimiter,
        options.rate,
        options.state,
        options.rejects,
    )


def _report(tally: Tally, good: str, bad: str) -> None:
    say(f"{good:9} {tally.good:>12,}")
    say(f"{bad:9} {tally.rejected:>12,}")
    for reason, count in sorted(tally.reasons.items(), key=lambda each: -each[1]):
        say(f"{count:>22,}  {reason}")
    for line, why in tally.examples:
        say(f"line {line}: {why}")
    if tally.rejected > len(tally.examples) > 0:
        say("…")
    if tally.halted:
        fail(f"stopped: {tally.halted}", STOPPED)


def _say_what_next(tally: Tally, plan: Plan) -> None:
    if tally.end is not End.COMPLETE and plan.state_path:
        say(f"The same command goes on from here ({plan.state_path}).")
    elif tally.end is End.COMPLETE and not tally.begun and plan.state_path:
        say(f"Nothing is new since it was imported; remove {plan.state_path} to import it again.")


def _status(tally: Tally) -> int:
    if tally.end is End.HALTED:
        return STOPPED
    if tally.end is End.INTERRUPTED:
        return INTERRUPTED
    return REJECTED if tally.rejected else 0


@contextmanager
def _own_log() -> Iterator[None]:
    """Let the client's log say what this command does not say itself."""
    logger = logging.getLogger("datalyr")
    handler = logging.StreamHandler()
    handler.addFilter(_is_news)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(("event dropped", "the ingest "))


def _field(text: str) -> tuple[str, str]:
    name, value = pair(text, "FIELD=…")
    if name not in FIELDS:
        raise argparse.ArgumentTypeError(f"{name!r} is no field; there are {', '.join(FIELDS)}")
    return name, value


def _property(text: str) -> tuple[str, tuple[str, str]]:
    if text == REST:
        return REST, ("", "")
    name, column = pair(text, "NAME=COLUMN or '*'")
    name, _, kind = name.partition(":")
    if kind and kind not in KINDS:
        raise argparse.ArgumentTypeError(f"{kind!r} is no kind; there are {', '.join(KINDS)}")
    return name, (column, kind or "text")


def _delimiter(text: str) -> str:
    text = "\t" if text in ("tab", "\\t") else text
    if len(text) != 1 or text in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r} is not one character")
    return text


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return rate
