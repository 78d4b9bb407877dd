"""The list of recorded events, which can be asked what is in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from datalyr_core.event import DropReason, Event
from datalyr_core.expectation import Dropped, Expectation, listed


class RecordedEvents(list[Event]):
    """Hold events in the order in which they were tracked, each as the ingest would get it.

    Attributes:
        dropped: What was tracked and dropped at once: the event, the reason, and why.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        """Begin with some events, or none."""
        super().__init__(events)
        self.dropped: list[Dropped] = []

    def take(self, event: Event) -> None:
        """Take an event."""
        self.append(event)

    def lose(self, event: Event, reason: DropReason, why: str) -> None:
        """Take an event that was dropped."""
        self.dropped.append((event, reason, why))

    def assert_tracked(
        self, event: str | Event, *, count: int | None = None, **expected: Any
    ) -> Event:
        """Assert that an event was tracked; see `assert_tracked`."""
        __tracebackhide__ = True
        events, wanted = self._asked(event, expected)
        found = wanted.matching(events)
        if found and count in (None, len(found)):
            return found[0]
        if count is not None and count < 1:
            raise ValueError(f"count is {count}; it is 1 or more: use assert_not_tracked")
        said = f"{wanted.name!r} was not tracked as expected"
        if found:
            said = f"{wanted.name!r} was tracked as expected {_times(len(found))}, not {count}"
        lines = () if found else wanted.missing_from(events)
        raise AssertionError(_message(said, lines, events, self.dropped))

    def assert_not_tracked(self, event: str | Event, **expected: Any) -> None:
        """Assert that an event was not tracked; see `assert_not_tracked`."""
        __tracebackhide__ = True
        events, wanted = self._asked(event, expected)
        found = wanted.matching(events)
        if found:
            said = f"{wanted.name!r} was tracked {_times(len(found))}"
            raise AssertionError(_message(said, (), events, self.dropped))

    def _asked(
        self, event: str | Event, expected: dict[str, Any]
    ) -> tuple[Sequence[Event], Expectation]:
        if isinstance(event, Event):
            return [event], Expectation(event.event, expected)
        return list(self), Expectation(event, expected)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _message(
    said: str, lines: Iterable[str], events: Sequence[Event], dropped: Sequence[Dropped]
) -> str:
    return "\n".join((said, *(f"  {line}" for line in (*lines, *listed(events, dropped)))))
