"""Wake those who wait for news, and those who sleep when it is time to go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """A bell that any number of coroutines of one loop listen to."""

    def __init__(self) -> None:
        self._ears: set[asyncio.Event] = set()
        self._closing = asyncio.Event()

    @property
    def closing(self) -> bool:
        """Whether the server is shutting down."""
        return self._closing.is_set()

    def ring(self) -> None:
        """Tell every listener that something is new."""
        for ear in self._ears:
            ear.set()

    def close(self) -> None:
        """Tell every listener, and everyone who pauses, that this is the end."""
        self._closing.set()
        self.ring()

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Listen until the block ends.

        Yields:
            An event that the bell sets; the listener clears it.
        """
        ear = asyncio.Event()
        self._ears.add(ear)
        try:
            yield ear
        finally:
            self._ears.discard(ear)

    async def pause(self, seconds: float) -> None:
        """Sleep, but not through the end.

        Args:
            seconds: How long.
        """
        await heard(self._closing, seconds)


async def heard(ear: asyncio.Event, seconds: float) -> bool:
    """Wait for an event.

    Args:
        ear: The event.
        seconds: How long to wait at most.

    Returns:
        False when the time is up.
    """
    try:
        await asyncio.wait_for(ear.wait(), seconds)
    except TimeoutError:
        return False
    return True
