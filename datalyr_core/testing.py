"""For tests of applications: events are kept instead of sent, and can be asked for.

- `recorded_events()` records every client of the process; the pytest fixture
  `datalyr_events` and `DatalyrTestMixin` for unittest do the same for a whole test.
- `assert_tracked` and `assert_not_tracked` look into what is being recorded.
- `recording_client()` makes one client that sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Unpack

from datalyr_core import recording
from datalyr_core.client import Datalyr
from datalyr_core.delivery.base import Reply
from datalyr_core.event import Event
from datalyr_core.option_types import AllOptions
from datalyr_core.recorded_events import RecordedEvents

__all__ = [
    "DatalyrTestMixin",
    "RecordedEvents",
    "RecordingClient",
    "RecordingTransport",
    "assert_not_tracked",
    "assert_tracked",
    "recorded_events",
    "recording_client",
]

if TYPE_CHECKING:
    import unittest

    _TestCase = unittest.TestCase
else:
    _TestCase = object


@contextmanager
def recorded_events() -> Iterator[RecordedEvents]:
    """Record the events of every client within a block, in any thread; none is sent.

    Clients that exist already record too, and disabled ones. Everything else is as always:
    what a call refuses is not recorded, and neither is what `before_send` drops.

    Yields:
        The list that they are added to, as soon as they are tracked.
    """
    events = RecordedEvents()
    recording.begin(events)
    try:
        yield events
    finally:
        recording.end(events)


def assert_tracked(event: str | Event, *, count: int | None = None, **expected: Any) -> Event:
    """Assert that an event was tracked in what is being recorded.

    Args:
        event: Its name; or one recorded event, to look at that one alone.
        count: How many times exactly; at least once by default.
        **expected: Fields of `Event` (`user_id`, `properties`, …) by name; anything else is
            a property. Of properties and context a part is enough, at every depth, and
            values may be as they were tracked (a Decimal, a datetime, a UUID).

    Returns:
        The first event that matches.

    Raises:
        AssertionError: It was not; it shows what comes nearest and what was tracked.
        RuntimeError: Nothing is being recorded.
    """
    __tracebackhide__ = True
    return _recorded(event).assert_tracked(event, count=count, **expected)


def assert_not_tracked(event: str | Event, **expected: Any) -> None:
    """Assert that an event was not tracked in what is being recorded.

    Args:
        event: Its name; or one recorded event, to look at that one alone.
        **expected: As of `assert_tracked`: only an event that matches it counts.

    Raises:
        AssertionError: It was; it shows what was tracked.
        RuntimeError: Nothing is being recorded.
    """
    __tracebackhide__ = True
    _recorded(event).assert_not_tracked(event, **expected)


class DatalyrTestMixin(_TestCase):
    """Record every client's events in each test of a `unittest.TestCase`, or Django's.

    Attributes:
        datalyr_events: The test's events.
    """

    datalyr_events: RecordedEvents

    # Around the whole test: a setUp that forgets its super() does no harm.

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test."""
        with recorded_events() as self.datalyr_events:
            return super().run(result)

    def debug(self) -> None:
        """Run the test without collecting its result."""
        with recorded_events() as self.datalyr_events:
            super().debug()

    def assertTracked(  # noqa: N802 - as unittest names its assertions
        self, event: str | Event, *, count: int | None = None, **expected: Any
    ) -> Event:
        """Assert that an event was tracked; see `assert_tracked`."""
        __tracebackhide__ = True
        return self.datalyr_events.assert_tracked(event, count=count, **expected)

    def assertNotTracked(self, event: str | Event, **expected: Any) -> None:  # noqa: N802 - as above
        """Assert that an event was not tracked; see `assert_not_tracked`."""
        __tracebackhide__ = True
        self.datalyr_events.assert_not_tracked(event, **expected)


class RecordingTransport:
    """Keep what is sent; answer 200."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.bodies: list[bytes] = []

    def send(self, body: bytes) -> Reply:
        """Keep a body."""
        self.bodies.append(body)  # a list's append is atomic
        return Reply(200)


class RecordingClient(Datalyr):
    """Be a client whose events can be looked at."""

    def __init__(self, **options: Unpack[AllOptions]) -> None:
        """Make a client with a recording transport.

        Args:
            **options: The options of `Config`; the key is made up.
        """
        self.recorded = RecordingTransport()
        # One thread sends, so that events come in the order in which they were tracked.
        own: AllOptions = {"api_key": "dk_test", "transport": self.recorded, "concurrency": 1}
        merged: AllOptions = {**own, **options}
        super().__init__(**merged)

    @property
    def events(self) -> RecordedEvents:
        """Return the events that were delivered, after waiting for those under way."""
        self.flush()
        return RecordedEvents(Event.from_body(body) for body in self.recorded.bodies)

    def _put(self, body: bytes) -> bool:
        """Pass an event on, also while all clients are recorded: it is recorded twice then."""
        recording.take(body)
        return self._sender.put(body)


def recording_client(**options: Unpack[AllOptions]) -> RecordingClient:
    """Make a client that sends nothing and keeps everything.

    Args:
        **options: The options of `Config`.

    Returns:
        A client with one more attribute, `events`.
    """
    return RecordingClient(**options)


def _recorded(event: str | Event) -> RecordedEvents:
    __tracebackhide__ = True
    latest = recording.latest()
    if isinstance(latest, RecordedEvents):
        return latest
    if isinstance(event, Event):
        return RecordedEvents([event])
    raise RuntimeError(
        "nothing is being recorded: use the pytest fixture datalyr_events, "
        "DatalyrTestMixin, or with recorded_events()"
    )
