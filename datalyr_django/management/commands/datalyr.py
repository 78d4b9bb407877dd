"""`manage.py datalyr`: the commands that know the project's settings."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from datalyr_core.commands import doctor
from datalyr_core.doctor import Mount
from datalyr_core.doctor.settings import check_heard, heard
from datalyr_django.doctor import check_asgi, project


class Command(BaseCommand):
    """Run one of the sub-commands."""

    help = "Look after Datalyr in this project."
    requires_system_checks: list[str] = []  # noqa: RUF012 - as Django declares it
    # The doctor runs where something is wrong, and says what.

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the sub-commands."""
        commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
        text = "Say what is wrong with this project's set-up, and what to do about it."
        examining = commands.add_parser("doctor", help=text, description=text)
        doctor.add_arguments(examining)
        examining.set_defaults(run=_examine)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the sub-command, and exit with its code."""
        sys.exit(options["run"](argparse.Namespace(**options)))


def _examine(options: argparse.Namespace) -> int:
    return doctor.run(options, _mount)


def _mount() -> Mount:
    with heard() as messages:
        mount = project()
        findings = [*mount.findings, *check_asgi()]
    return Mount(mount.config, [*findings, *check_heard(messages)])
