"""Where a set-up is: in the environment, or in an application whose plugin knows its kind."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from datalyr_core.config import Config
from datalyr_core.doctor.findings import Finding, Mount, error
from datalyr_core.doctor.settings import (
    COPY_HERE,
    check_environment,
    check_heard,
    check_problem,
    heard,
)
from datalyr_core.errors import ConfigurationError

GROUP = "datalyr.doctor"
_DEFAULTS = ("app", "application")

Examine = Callable[[object], Mount | None]


class NotFound(Exception):
    """Tell why a name leads to no application."""


def mount_of(spec: str) -> Mount:
    """Import an application and ask the plugins how it has Datalyr."""
    with heard() as messages:
        try:
            mount = _asked(load(spec), spec)
        except NotFound as problem:
            mount = Mount(None, [error("app", str(problem), "Give --app module:attribute.")])
        except ConfigurationError as problem:
            mount = Mount(None, list(check_problem(problem)))
        except (Exception, SystemExit) as problem:  # the application's own code may raise anything
            mount = Mount(None, [_failed(spec, problem)])
    return Mount(mount.config, [*mount.findings, *check_heard(messages)])


def mount_of_environment() -> Mount:
    """Take the `DATALYR_<OPTION>` variables for the set-up, as `Datalyr.from_env` does."""
    with heard() as messages:
        try:
            config, problems = Config.from_env(), []
        except ConfigurationError as problem:
            config, problems = None, list(check_problem(problem, COPY_HERE))
    return Mount(config, [*problems, *check_heard(messages), *check_environment(os.environ)])


def load(spec: str) -> Any:
    """Import an application, as servers do.

    Args:
        spec: `module`, `module:attribute`, or `module:function()` for one that makes it.

    Raises:
        NotFound: There is no such module or attribute.
    """
    name, _, path = spec.partition(":")
    if not all(part.isidentifier() for part in name.split(".")):
        raise NotFound(f"{spec!r} names no module")
    if sys.path[:1] != [str(Path.cwd())]:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if not problem.name or not f"{name}.".startswith(f"{problem.name}."):
            raise  # a module that the application's own wants
        raise NotFound(f"there is no module {name!r} here") from None
    for wanted in (path.removesuffix("()"),) if path else _DEFAULTS:
        found: Any = module
        for part in wanted.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found() if path.endswith("()") else found
    raise NotFound(f"module {name!r} has no {path or ' or '.join(_DEFAULTS)}")


def plugins() -> Iterator[Examine]:
    """Return what the installed plugins offer; one whose framework is missing offers nothing."""
    for entry in entry_points(group=GROUP):
        try:
            yield entry.load()
        except ImportError:
            continue


def _asked(app: Any, spec: str) -> Mount:
    for examine in plugins():
        mount = examine(app)
        if mount is not None:
            return mount
    kind = type(app).__name__
    return Mount(
        None,
        [
            error(
                "app",
                f"{spec} is a {kind}, which no plugin knows",
                "Name the application itself; where a function makes it, write module:function().",
            )
        ],
    )


def _failed(spec: str, problem: BaseException) -> Finding:
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return error(
        "app",
        f"{spec} cannot be imported: {type(problem).__name__}: {problem} "
        f"({last.filename}, line {last.lineno})",
        "Run this with the working folder and the variables that the server has.",
    )
