"""`datalyr doctor`: what is wrong with a set-up, and what to do about it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from datalyr_core.commands import INTERRUPTED, fail, say

if TYPE_CHECKING:
    from datalyr_core import doctor
    from datalyr_core.commands import Commands

UNREAD = 141  # as shells say it of a closed pipe


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    text = "say what is wrong with a set-up, and what to do about it"
    parser = commands.add_parser("doctor", help=text, description=text.capitalize())
    parser.add_argument(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        help="the application to look at; without it, DATALYR_... variables are the set-up",
    )
    add_arguments(parser)
    parser.set_defaults(run=_run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `manage.py datalyr doctor` has too."""
    parser.add_argument("--json", action="store_true", help="write the findings as JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")
    parser.add_argument("--no-probe", action="store_true", help="send no event")
    parser.add_argument(
        "--timeout", type=_seconds, default=5.0, help="seconds for each step (default: 5)"
    )
    parser.add_argument(
        "--grace", type=_seconds, help="seconds that your platform gives a process to end"
    )


def run(options: argparse.Namespace, mount_of_it: Callable[[], doctor.Mount]) -> int:
    """Examine a set-up and report.

    Args:
        options: What `add_arguments` understood.
        mount_of_it: Finds out how the set-up has Datalyr.

    Returns:
        The exit code: 0, or 1 for an error, and when strict for a warning.
    """
    try:
        return _run_to_its_end(options, mount_of_it)
    except KeyboardInterrupt:
        return fail("stopped", INTERRUPTED)
    except BrokenPipeError:  # who was to read it has gone, as `head` does
        # The interpreter would complain of what is left in the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def _run_to_its_end(options: argparse.Namespace, mount_of_it: Callable[[], doctor.Mount]) -> int:
    # Only here: the other commands need no HTTP library, which takes its time to import.
    from datalyr_core.doctor import report

    mount = mount_of_it()
    host = mount.config.host if mount.config else None
    findings: list[doctor.Finding] = []
    for finding in _findings(mount, options):
        findings.append(finding)
        if not options.json:
            _write(report.line(finding))
    if options.json:
        _write(report.document(findings, host=host, strict=options.strict))
    else:
        _write(report.summary(findings))
    return report.exit_status(findings, strict=options.strict)


def _findings(mount: doctor.Mount, options: argparse.Namespace) -> Iterator[doctor.Finding]:
    from datalyr_core import doctor

    yield from mount.findings
    if mount.config is not None:
        conditions = doctor.Conditions(
            options.timeout, not options.no_probe, options.grace, Path.cwd()
        )
        yield from doctor.examine(mount.config, conditions)


def _run(options: argparse.Namespace) -> int:
    from datalyr_core.doctor.applications import mount_of, mount_of_environment

    return run(options, lambda: mount_of(options.app) if options.app else mount_of_environment())


def _write(text: str) -> None:
    # What the ingest answers may hold what this terminal has no letters for.
    encoding = sys.stdout.encoding or "ascii"
    say(text.encode(encoding, "backslashreplace").decode(encoding))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")
    return seconds
