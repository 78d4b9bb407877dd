"""What can go wrong, as a tree.

DatalyrError
├── ConfigurationError   the set-up is wrong; raised at start-up only (also a ValueError)
├── TransportError       an event was sent and no answer came; raised by transports
└── InvalidEvent         a call lacks what its event needs; never leaves the client
"""


class DatalyrError(Exception):
    """Be the base of every error of this suite."""


class ConfigurationError(DatalyrError, ValueError):
    """Name every problem of a configuration, each with what to write instead."""


class TransportError(DatalyrError):
    """Tell that the ingest gave no answer: refused, reset, timed out, not HTTP."""


class InvalidEvent(DatalyrError):
    """Tell why a call makes no event."""
