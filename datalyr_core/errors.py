"""What can go wrong, as a tree.

DatalyrError
├── ConfigurationError   the set-up is wrong; raised at start-up only (also a ValueError)
├── TransportError       an event was sent and no answer came; raised by transports
│   ├── SendRefused      an event is never to be sent; it is dropped at once
│   └── Unavailable      nothing at all can be sent; events wait for as long as it takes
└── InvalidEvent         a call lacks what its event needs; never leaves the client
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Up to the last @, and over a slash: a password that is not encoded can hold either.
_CREDENTIALS = re.compile(r"//[^\s'\"]*@")
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


class SendRefused(TransportError):
    """Tell that an event is not to be sent, now or later."""


class Unavailable(TransportError):
    """Tell that nothing can be sent now, whatever it is: this counts against no event.

    Attributes:
        remedy: What an operator is to do about it; empty if it may go away by itself.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        """Hold a message, and what is to be done."""
        super().__init__(message)
        self.remedy = remedy


class InvalidEvent(DatalyrError):
    """Tell why a call makes no event."""


def shown(value: object) -> str:
    """Show a bad value in a message, without letting it flood the log or raise."""
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"
    text = without_credentials(text)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def without_credentials(text: str) -> str:
    """Hide the user and the password of URLs in a text."""
    return _CREDENTIALS.sub("//<hidden>@", text)
