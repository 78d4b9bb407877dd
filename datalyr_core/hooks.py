"""The application's own functions, guarded, and the count of what was given up."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from datalyr_core.config import Config
from datalyr_core.event import DropReason, Event

logger = logging.getLogger("datalyr")

MAX_REMEMBERED = 100  # different warnings; a flood of new ones says nothing more


class Hooks:
    """Call the application's hooks; one that raises is logged and otherwise ignored."""

    def __init__(self, config: Config) -> None:
        """Take the hooks of a configuration."""
        self._config = config
        self._warned: set[str] = set()
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._lock = threading.RLock()
        self._dropped: Counter[str] = Counter()

    def dropped(self) -> dict[str, int]:
        """Return how many events were given up, by reason."""
        with self._lock:
            return {str(reason): count for reason, count in self._dropped.items()}

    def before_send(self, event: Event) -> Event | None:
        """Let the application change an event, or drop it by returning None."""
        if self._config.before_send is None:
            return event
        try:
            changed: Any = self._config.before_send(event)
        except Exception:
            logger.exception("before_send raised; the event is sent as it is")
            return event
        if changed is None:
            return None
        if isinstance(changed, Event) and _is_whole(changed):
            return changed
        self.warn_once(
            f"before_send returned {_shown(changed)}; it returns the event or None; "
            "the event is dropped"
        )
        return None

    def error(self, event: Event, error: Exception) -> None:
        """Tell the application of a send that failed."""
        if self._config.on_error is None:
            return
        try:
            self._config.on_error(event, error)
        except Exception:
            logger.exception("on_error raised")

    def drop(
        self, events: Iterable[Event], reason: DropReason, why: str, *, count: int = 1
    ) -> None:
        """Count events that are given up, say so once, and tell the application.

        Args:
            events: The events; they are only looked at when there is a hook to see them.
            reason: Why, for programs.
            why: Why, for people; a text that was logged before is not logged again.
            count: How many events there are.
        """
        with self._lock:
            self._dropped[reason] += count
        if reason is DropReason.CLOSED:
            self.warn_once(f"event dropped ({reason}): {why}", logging.ERROR)
        elif reason in (DropReason.CONSENT, DropReason.BEFORE_SEND):
            logger.debug("event dropped (%s): %s", reason, why)
        else:
            self.warn_once(f"event dropped ({reason}): {why}")
        if self._config.on_drop is None:
            return
        try:
            self._config.on_drop(list(events), reason)
        except Exception:
            logger.exception("on_drop raised")

    def warn_once(self, message: str, level: int = logging.WARNING) -> None:
        """Log a message the first time, and at debug level after that."""
        with self._lock:
            new = message not in self._warned and len(self._warned) < MAX_REMEMBERED
            if new:
                self._warned.add(message)
        logger.log(level if new else logging.DEBUG, "%s", message)


def _is_whole(event: Any) -> bool:
    """Tell whether an event still has what the ingest needs, each of its type."""
    texts = (event.event, event.anonymous_id, event.event_id, event.timestamp)
    return (
        all(isinstance(text, str) and text for text in texts)
        and isinstance(event.user_id, str | None)
        and isinstance(event.properties, Mapping)
        and isinstance(event.context, Mapping)
    )


def _shown(changed: object) -> str:
    if isinstance(changed, Event):
        return "an event with a field that is empty or of a wrong type"
    return f"a {type(changed).__name__}"
