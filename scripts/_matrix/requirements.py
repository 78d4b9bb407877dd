"""What a leg installs, taken from pyproject.toml, whose lower bounds are the oldest versions.

Nothing is pinned anywhere else: a leg with the oldest Django has the version that the extra
`django` begins with, and a tool of the tests has the bound that it has in the extra `test`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_EXTRAS: dict[str, list[str]] = _PROJECT["optional-dependencies"]
_OURSELVES = re.compile(r"datalyr\[([\w,-]+)\]")


def core() -> list[str]:
    """List what core needs, with the bounds that it has."""
    return list(_PROJECT["dependencies"])


def extra(*names: str) -> list[str]:
    """List what some extras need, those that they name included."""
    return list(dict.fromkeys(each for name in names for each in _within(name)))


def named(*names: str) -> list[str]:
    """List the requirements of some distributions, as pyproject.toml has them."""
    known = {name_of(each): each for each in [*extra(*_EXTRAS), *core()]}
    return [known[name] for name in names]


def oldest(requirements: Iterable[str]) -> list[str]:
    """Pin requirements to their lower bounds."""
    return [re.sub(r">=([\w.]+).*", r"==\1", each) for each in requirements]


def without(requirements: Iterable[str], *names: str) -> list[str]:
    """Leave some distributions out."""
    return [each for each in requirements if name_of(each) not in names]


def name_of(requirement: str) -> str:
    """Return the name of the distribution that a requirement asks for."""
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def _within(name: str) -> Iterator[str]:
    for requirement in _EXTRAS[name]:
        if inner := _OURSELVES.fullmatch(requirement):
            for each in inner[1].split(","):
                yield from _within(each)
        else:
            yield requirement
