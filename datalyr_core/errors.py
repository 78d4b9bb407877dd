"""What can go wrong, as a tree.

DatalyrError
├── ConfigurationError   the set-up is wrong; raised at start-up only (also a ValueError)
├── TransportError       an event was sent and no answer came; raised by transports
└── InvalidEvent         a call lacks what its event needs; never leaves the client
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_SHOWN = 80  # characters of a bad value


class DatalyrError(Exception):
    """Be the base of every error of this suite."""


class ConfigurationError(DatalyrError, ValueError):
    """Name every problem of a configuration, each with what to write instead.

    Attributes:
        problems: The name of each bad option, and what is wrong with it.
    """

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        """Hold a message, and the problems that it names."""
        super().__init__(message)
        self.problems = tuple(problems)


class TransportError(DatalyrError):
    """Tell that the ingest gave no answer: refused, reset, timed out, not HTTP."""


class InvalidEvent(DatalyrError):
    """Tell why a call makes no event."""


def shown(value: object) -> str:
    """Show a bad value in a message, without letting it flood the log or raise."""
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
