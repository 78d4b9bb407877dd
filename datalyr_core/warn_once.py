"""Warnings that a process gives once."""

from __future__ import annotations

import logging

_given: set[tuple[str, str]] = set()  # the logger's name, and the kind of warning


def warn_once(logger: logging.Logger, message: str, *, kind: str | None = None) -> None:
    """Log the first message of a kind as a warning, and others of that kind at debug level.

    Args:
        logger: Where it is logged.
        message: The message.
        kind: The kind, one of few; the message by default.
    """
    given = (logger.name, kind or message)
    level = logging.DEBUG if given in _given else logging.WARNING
    _given.add(given)
    logger.log(level, "%s", message)
