"""The sub-commands of `datalyr`: one module each, with one `add_parser(commands)`."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

INTERRUPTED = 130  # as shells say it of Ctrl+C


def fail(message: str, code: int) -> int:
    """Say on standard error what is wrong.

    Returns:
        The exit code that was given.
    """
    say(message if message.startswith("datalyr") else f"datalyr: {message}", sys.stderr)
    return code


def say(message: str, file: TextIO | None = None) -> None:
    """Print a line at once, by default on standard output."""
    print(message, file=file or sys.stdout, flush=True)
