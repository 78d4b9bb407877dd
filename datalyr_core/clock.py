"""The time, and waiting for it to pass: the one place where the sender asks for either."""

from __future__ import annotations

import threading
import time


class Clock:
    """Tell the time, and wait. A simulation of hours has one whose time passes at once."""

    # Functions, not methods that call them: nothing is added to what a send costs.
    now = staticmethod(time.monotonic)  # seconds of a clock that is never set
    epoch = staticmethod(time.time)  # seconds since 1970, which `Retry-After` may refer to

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait until a condition is notified, or some time has passed.

        Args:
            condition: The condition, whose lock the caller holds.
            seconds: How long to wait at most, or None.
        """
        condition.wait(seconds)
