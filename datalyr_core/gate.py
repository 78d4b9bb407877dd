"""The gate: while the ingest fails, the whole client holds back and sends one probe at a time."""

from __future__ import annotations


class Gate:
    """Pace the sends of one client. Pure: the caller gives the time and holds the lock."""

    def __init__(self) -> None:
        """Begin open."""
        self.failures = 0  # in a row; 0 means open
        self._opens_at = 0.0
        self._asked_until = 0.0  # what the ingest itself asked for
        self._probing = False

    def admits(self, now: float) -> bool:
        """Tell whether a send may begin."""
        return not self.failures or (not self._probing and now >= self._opens_at)

    def wait(self, now: float) -> float | None:
        """Return seconds until a probe may begin; None while one is under way."""
        return None if self._probing else max(self._opens_at - now, 0.0)

    def enter(self) -> bool:
        """Note that a send begins, and tell whether it is a probe."""
        self._probing = bool(self.failures)
        return self._probing

    def succeeded(self, *, probe: bool, now: float) -> None:
        """Open: the ingest answered; not before it wants to be asked again, if it said when.

        Args:
            probe: Whether the send was a probe. Others that were under way when the ingest
                asked us to wait do not speak for the time after.
            now: The time, in seconds of a monotonic clock.
        """
        if probe or now >= self._asked_until:
            self.failures = 0
            self._probing = False

    def failed(self, *, probe: bool, now: float, wait: float, asked: float) -> bool:
        """Close, or stay closed, for a while.

        Args:
            probe: Whether the failed send was a probe. Those that were under way when
                the gate closed say nothing new, however many they are.
            now: The time, in seconds of a monotonic clock.
            wait: How long our own backoff waits, in seconds.
            asked: How long the ingest asked us to wait, in seconds.

        Returns:
            Whether the failure counted.
        """
        counts = probe or not self.failures
        self._asked_until = max(self._asked_until, now + asked)
        if counts:
            self.failures += 1
            self._probing = False
            self._opens_at = now + wait
        self._opens_at = max(self._opens_at, self._asked_until if asked else 0.0)
        return counts

    def hurry(self) -> None:
        """Allow the next probe at once, unless the ingest asked us to wait: time is short."""
        self._opens_at = self._asked_until
