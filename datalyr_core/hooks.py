"""The application's own functions, guarded, and the count of what was given up."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from datalyr_core.config import Config
from datalyr_core.event import DropCounts, DropReason, Event
from datalyr_core.per_thread import PerThread

logger = logging.getLogger("datalyr")


# What a call of `track` or its kin can be dropped for.
_BY_TRACKING = {
    DropReason.BEFORE_SEND,
    DropReason.CLOSED,
    DropReason.CONSENT,
    DropReason.QUEUE_OVERFLOW,
    DropReason.VALIDATION_ERROR,
}


_Drops = list[tuple[list[Event], DropReason]]


class Hooks:
    """Call the application's hooks; one that raises is logged and otherwise ignored.

    Attributes:
        of_refused: What becomes of events that the ingest refuses, for the log.
    """

    of_refused = "events are being dropped"

    def __init__(self, config: Config) -> None:
        """Take the hooks of a configuration."""
        self._config = config
        self._warned: set[str] = set()
        # Re-entrant: a finalizer that tracks may run while this very thread holds it.
        self._lock = threading.RLock()
        self._dropped: Counter[str] = Counter()
        self._changing: PerThread[bool] = PerThread()  # whether `before_send` runs
        self._telling: PerThread[_Drops] = PerThread()  # while `on_drop` runs: what is to be told

    def dropped(self) -> DropCounts:
        """Return how many events were given up, by reason; none of a reason is 0."""
        with self._lock:
            return DropCounts({str(reason): count for reason, count in self._dropped.items()})

    def before_send(self, event: Event) -> Event | None:
        """Let the application change an event, or drop it by returning None."""
        if self._config.before_send is None or self._changing.get():
            return event  # one that tracks would see its own event, and track again
        # It gets one of its own: what it has half changed when it raises is not sent, and
        # what the application put into the event stays as it was.
        own = replace(event, properties=_own(event.properties), context=dict(event.context))
        try:
            with self._changing.set_to(True):
                changed: Any = self._config.before_send(own)
        except Exception:
            logger.exception("before_send raised; the event is sent as it was")
            return event
        if changed is None:
            return None
        if isinstance(changed, Event) and _is_whole(changed):
            return changed
        self.warn_once(
            f"before_send returned {_shown(changed)}; it returns the event or None; "
            "the event is dropped",
            kind="before_send",
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
        self,
        events: Iterable[Event],
        reason: DropReason,
        why: str,
        *,
        kind: str | None = None,
        count: int = 1,
    ) -> None:
        """Count events that are given up, say so once, and tell the application.

        Args:
            events: The events; they are only looked at when there is a hook to see them.
            reason: Why, for programs.
            why: Why, for people.
            kind: What the drop has in common with others, of which the first is logged;
                `why` by default.
            count: How many events there are.
        """
        with self._lock:
            self._dropped[reason] += count
        message = f"event dropped ({reason}): {why}"
        kind = f"{reason}: {kind or why}"
        if reason is DropReason.CLOSED:
            self.warn_once(message, logging.ERROR, kind=kind)
        elif reason in (DropReason.CONSENT, DropReason.BEFORE_SEND):
            logger.debug("%s", message)
        else:
            self.warn_once(message, kind=kind)
        self._tell_of_drop(events, reason)

    def _tell_of_drop(self, events: Iterable[Event], reason: DropReason) -> None:
        if self._config.on_drop is None:
            return
        if (drops := self._telling.get()) is not None:  # the hook has led to another drop
            # One that tracks while the queue is full, or when the time of an exit is over, would
            # hear of itself for ever.
            again = reason is drops[0][1] is DropReason.CLOSE_TIMEOUT
            if reason not in _BY_TRACKING and not again:
                drops.append((list(events), reason))
            return
        drops = [(list(events), reason)]
        with self._telling.set_to(drops):
            while drops:
                try:
                    self._config.on_drop(*drops[0])
                except Exception:
                    logger.exception("on_drop raised")
                del drops[0]

    def warn_once(
        self, message: str, level: int = logging.WARNING, *, kind: str | None = None
    ) -> None:
        """Log the first message of a kind, and others of that kind at debug level.

        Args:
            message: The message.
            level: The level of the first.
            kind: The kind, one of few; the message by default.
        """
        kind = kind or message
        with self._lock:
            new = kind not in self._warned
            self._warned.add(kind)
        logger.log(level if new else logging.DEBUG, "%s", message)


def _own(properties: dict[str, Any]) -> dict[str, Any]:
    try:
        copied: dict[str, Any] = _copied(properties)
    except RecursionError:  # they are endless, and will be cut when they are encoded
        copied = dict(properties)
    return copied


def _copied(value: Any) -> Any:
    """Copy what of a value can be changed in place, as far as JSON has it."""
    if type(value) is dict:
        return {key: _copied(each) for key, each in value.items()}
    if type(value) is list:
        return [_copied(each) for each in value]
    return value


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
