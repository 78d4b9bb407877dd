"""What is looked after changes while it is looked at."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from datalyr_core import lifecycle


class Disturbed(weakref.WeakSet[Any]):
    """A set that another thread adds to while it is iterated for the first time."""

    disturbed = False

    def __iter__(self) -> Iterator[Any]:
        for each in super().__iter__():
            yield each
            if not self.disturbed:
                self.disturbed = True
                raise RuntimeError("Set changed size during iteration")


class Client:
    """Something that can be referred to weakly."""


def test_a_client_that_is_made_meanwhile_disturbs_nobody() -> None:
    made = [Client(), Client()]
    found = lifecycle._all_of(Disturbed(made))
    assert set(found) == set(made)
