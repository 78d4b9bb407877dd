"""The six verbs of a tracker, whatever becomes of their events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from datalyr_core import calls
from datalyr_core.event import Event, Timestamp


class Verbs:
    """Track events of the visitor of one request.

    Calls return the event id, or None when the event was dropped; they raise nothing.
    """

    __slots__ = ()

    def track(
        self,
        event: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        event_id: str | None = None,
        timestamp: Timestamp = None,
    ) -> str | None:
        """Track an event.

        Args:
            event: The event's name.
            properties: What there is to say of it.
            event_id: The de-duplication key; give a redelivered event the same one.
            timestamp: When it happened, if not now.
        """
        return self._send(calls.track, event, (None, event, properties, event_id, timestamp))

    def identify(
        self, user_id: object = None, traits: Mapping[str, Any] | None = None
    ) -> str | None:
        """Say who the visitor is; later events of this request carry the user id."""
        return self._send(calls.identify, "$identify", (user_id, traits))

    def page(
        self, name: str | None = None, properties: Mapping[str, Any] | None = None
    ) -> str | None:
        """Track a page view with this request's URL, referrer and campaign parameters."""
        return self._send(calls.page, "$pageview", (None, name, properties))

    def alias(self, new_user_id: object = None, previous_id: object = None) -> str | None:
        """Tie a new user id to a previous one, by default to the visitor's anonymous id."""
        return self._send(calls.alias, "$alias", (new_user_id, previous_id))

    def group(self, group_id: object = None, traits: Mapping[str, Any] | None = None) -> str | None:
        """Say that the visitor belongs to a group."""
        return self._send(calls.group, "$group", (None, group_id, traits))

    def track_purchase(
        self,
        value: object = None,
        currency: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        event_id: str | None = None,
        timestamp: Timestamp = None,
    ) -> str | None:
        """Track a purchase; `value` is a finite number, `currency` defaults to USD."""
        told = (None, value, currency, properties, event_id, timestamp)
        return self._send(calls.track_purchase, "purchase", told)

    def _send(self, call: Callable[..., Event], name: object, told: tuple[Any, ...]) -> str | None:
        """Make the event of a call and see to it.

        Args:
            call: What makes it.
            name: Its name, if it is a string.
            told: The call's arguments, without who the visitor is.
        """
        raise NotImplementedError
