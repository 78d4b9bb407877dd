"""For tests of applications: a client that keeps its events instead of sending them."""

from __future__ import annotations

from typing import Any

from datalyr_core.client import Datalyr
from datalyr_core.delivery.base import Reply
from datalyr_core.event import Event


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

    def __init__(self, **options: Any) -> None:
        """Make a client with a recording transport.

        Args:
            **options: The options of `Config`; the key is made up.
        """
        self.recorded = RecordingTransport()
        # One thread sends, so that events come in the order in which they were tracked.
        own = {"api_key": "dk_test", "transport": self.recorded, "concurrency": 1}
        super().__init__(**{**own, **options})

    @property
    def events(self) -> list[Event]:
        """Return the events that were delivered, after waiting for those under way."""
        self.flush()
        return [Event.from_body(body) for body in self.recorded.bodies]


def recording_client(**options: Any) -> RecordingClient:
    """Make a client that sends nothing and keeps everything.

    Args:
        **options: The options of `Config`.

    Returns:
        A client with one more attribute, `events`.
    """
    return RecordingClient(**options)
