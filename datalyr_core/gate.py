"""The gate: while the ingest fails, the whole client holds back and sends one probe at a time."""

from __future__ import annotations


class Gate:
    """Pace the sends of one client. Pure: the caller gives the time and holds the lock."""

    def __init__(self) -> None:
        """Begin open."""
        self.failures = 0  # in a row; 0 means open
        self._opens_at = 0.0
        self._asked_until = 0.0  # what the ingest itself asked for
        self._probe = 0  # the number of the probe that is under way, or 0
        self._probes = 0  # how many there were

    def admits(self, now: float) -> bool:
        """Tell whether a send may begin."""
        return not self.failures or (not self._probe and now >= self._opens_at)

    def wait(self, now: float) -> float | None:
        """Return seconds until a probe may begin; None while one is under way."""
        return None if self._probe else max(self._opens_at - now, 0.0)

    def enter(self) -> int:
        """Note that a send begins, and return the number of the probe that it is, or 0."""
        if not self.failures:
            return 0
        self._probes += 1
        self._probe = self._probes
        return self._probe

    def succeeded(self, *, probe: int, now: float) -> None:
        """Open: the ingest answered; not before it wants to be asked again, if it said when.

        Args:
            probe: The number of the probe that the send was, or 0. What was under way when
                the ingest asked us to wait does not speak for the time after.
            now: The time, in seconds of a monotonic clock.
        """
        self._end(probe)
        if now >= self._asked_until:
            self.failures = self._probe = 0

    def failed(self, *, probe: int, now: float, wait: float, asked: float) -> bool:
        """Close, or stay closed, for a while.

        Args:
            probe: The number of the probe that the send was, or 0. Sends that were under
                way when the gate closed say nothing new, however many they are.
            now: The time, in seconds of a monotonic clock.
            wait: How long our own backoff waits, in seconds.
            asked: How long the ingest asked us to wait, in seconds.

        Returns:
            Whether the failure counted.
        """
        counts = self._end(probe) or not self.failures
        self._asked_until = max(self._asked_until, now + asked)
        if counts:
            self.failures += 1
            self._opens_at = now + wait
        self._opens_at = max(self._opens_at, self._asked_until if asked else 0.0)
        return counts

    def hurry(self) -> None:
        """Allow the next probe at once, unless the ingest asked us to wait: time is short."""
        self._opens_at = self._asked_until

    def _end(self, probe: int) -> bool:
        """Tell whether a send was the present probe, which is over then; not one of long ago."""
        if not probe or probe != self._probe:
            return False
        self._probe = 0
        return True
