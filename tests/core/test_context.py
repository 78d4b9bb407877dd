from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterator

import pytest

from datalyr_core import Config, Tracker, context, current_tracker
from datalyr_core.context import activate, add_finder
from tests.support.web import PlainRequest


def tracker() -> Tracker:
    return Tracker(PlainRequest(), Config(api_key="dk_test"), lambda event: None)


def test_outside_a_request_there_is_none() -> None:
    assert current_tracker() is None


def test_it_is_current_within_the_block_also_when_that_raises() -> None:
    outer, inner = tracker(), tracker()
    with activate(outer):
        with pytest.raises(ZeroDivisionError), activate(inner):
            1 / (current_tracker() is not inner)
        assert current_tracker() is outer
        with activate(None):
            assert current_tracker() is None
    assert current_tracker() is None


def test_a_block_that_ends_in_another_context_raises_nothing() -> None:
    def stream() -> Iterator[Tracker | None]:
        with activate(tracker()):
            yield current_tracker()

    generator = stream()
    assert contextvars.copy_context().run(next, generator) is not None
    contextvars.copy_context().run(generator.close)
    assert current_tracker() is None


async def runs_under(mine: Tracker) -> bool:
    with activate(mine):
        await asyncio.sleep(0)
        return current_tracker() is mine


def test_tasks_do_not_see_each_others_tracker() -> None:
    async def all_of_them() -> list[bool]:
        return await asyncio.gather(*(runs_under(tracker()) for _ in range(50)))

    assert all(asyncio.run(all_of_them()))


def test_a_framework_that_keeps_its_own_context_is_asked() -> None:
    mine, found = tracker(), tracker()
    answers: list[Tracker | None] = [None]

    def finder() -> Tracker | None:
        return answers[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(context, "_finders", [])
        add_finder(lambda: None)
        add_finder(finder)
        add_finder(finder)
        assert len(context._finders) == 2
        assert current_tracker() is None
        answers[0] = found
        assert current_tracker() is found
        with activate(mine):
            assert current_tracker() is mine
