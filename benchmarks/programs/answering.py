"""The other side of `benchmarks._workers`: a program that measures what it is asked to."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

Commands = Mapping[str, Callable[..., Any]]


def answer(make: Callable[[], AbstractContextManager[Commands]]) -> None:
    """Answer until the input ends.

    Args:
        make: Gives the commands; what cannot be imported or configured is told by name.
    """
    # What libraries print is none of our answers.
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)
        try:
            made = make()
            commands = made.__enter__()
        except Exception as error:
            *_, told = str(error).splitlines() or [""]
            _say(out, f"{type(error).__name__}: {told.strip(' -')}")
            return
        _say(out, None)
        try:
            for line in sys.stdin:
                command, *arguments = json.loads(line)
                _say(out, commands[command](*arguments))
        finally:
            made.__exit__(None, None, None)


def _say(out: Any, what: Any) -> None:
    out.write(json.dumps(what) + "\n")
    out.flush()
