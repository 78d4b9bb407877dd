"""The pytest plugin: the fixture `datalyr_events`.

pytest imports it in every run, so what a test needs is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from datalyr_core import guard

if TYPE_CHECKING:
    from datalyr_core.testing import RecordedEvents


def pytest_configure() -> None:
    """Note that this process runs tests; merely importing this module says nothing."""
    guard.note_test_run()


@pytest.fixture
def datalyr_events() -> Iterator[RecordedEvents]:
    """Record the events of every Datalyr client in this test; nothing is sent.

    It is a list of `datalyr_core.Event`, in order, each there as soon as it is tracked, with
    `assert_tracked(name, **expected)` and `assert_not_tracked(name, **expected)`.
    """
    from datalyr_core.testing import recorded_events

    with recorded_events() as events:
        yield events
