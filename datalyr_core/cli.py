"""The command `datalyr`: one sub-command for each thing that a person does at a shell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from datalyr_core.commands import doctor, import_, inspect, outbox, relay, send
from datalyr_core.version import __version__

# In the order in which `datalyr --help` shows them.
COMMANDS = (inspect, doctor, send, import_, outbox, relay)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments; those of the process by default.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(argv)
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="datalyr", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return parser
