"""The six verbs of the client, each with the ids that a request would know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from datalyr_core import calls
from datalyr_core.event import Event, Timestamp

Properties = Mapping[str, Any] | None


class ClientVerbs:
    """Track events of whoever is named in the call.

    Calls return the event id, or None when the event was dropped; they raise nothing.
    """

    def track(
        self,
        user_id: object = None,
        event: str | None = None,
        properties: Properties = None,
        *,
        anonymous_id: object = None,
        event_id: str | None = None,
        timestamp: Timestamp = None,
    ) -> str | None:
        """Track an event.

        Args:
            user_id: The user, if known: a string, an int or a UUID.
            event: The event's name.
            properties: What there is to say of it.
            anonymous_id: The visitor's id; a fresh one by default.
            event_id: The de-duplication key; give a redelivered event the same one.
            timestamp: When it happened, if not now: ISO 8601, epoch seconds, a datetime.
        """
        told = {
            "user_id": user_id,
            "event": event,
            "properties": properties,
            "anonymous_id": anonymous_id,
            "event_id": event_id,
            "timestamp": timestamp,
        }
        return self._call(calls.track, event, told)

    def identify(
        self, user_id: object = None, traits: Properties = None, *, anonymous_id: object = None
    ) -> str | None:
        """Say who a user is: their traits, and which visitor they are."""
        told = {"user_id": user_id, "traits": traits, "anonymous_id": anonymous_id}
        return self._call(calls.identify, "$identify", told)

    def page(
        self,
        user_id: object = None,
        name: str | None = None,
        properties: Properties = None,
        *,
        anonymous_id: object = None,
    ) -> str | None:
        """Track a page view; give its URL as the property `url`."""
        told = {
            "user_id": user_id,
            "name": name,
            "properties": properties,
            "anonymous_id": anonymous_id,
        }
        return self._call(calls.page, "$pageview", told)

    def alias(
        self,
        new_user_id: object = None,
        previous_id: object = None,
        *,
        anonymous_id: object = None,
    ) -> str | None:
        """Tie a new user id to a previous id, by default to the visitor's."""
        told = {
            "new_user_id": new_user_id,
            "previous_id": previous_id,
            "anonymous_id": anonymous_id,
        }
        return self._call(calls.alias, "$alias", told)

    def group(
        self,
        user_id: object = None,
        group_id: object = None,
        traits: Properties = None,
        *,
        anonymous_id: object = None,
    ) -> str | None:
        """Say that a user belongs to a group."""
        told = {
            "user_id": user_id,
            "group_id": group_id,
            "traits": traits,
            "anonymous_id": anonymous_id,
        }
        return self._call(calls.group, "$group", told)

    def track_purchase(
        self,
        user_id: object = None,
        value: object = None,
        currency: str | None = None,
        properties: Properties = None,
        *,
        anonymous_id: object = None,
        event_id: str | None = None,
        timestamp: Timestamp = None,
    ) -> str | None:
        """Track a purchase; `value` is a finite number, `currency` defaults to USD."""
        told = {
            "user_id": user_id,
            "value": value,
            "currency": currency,
            "properties": properties,
            "anonymous_id": anonymous_id,
            "event_id": event_id,
            "timestamp": timestamp,
        }
        return self._call(calls.track_purchase, "purchase", told)

    def _call(self, call: Callable[..., Event], name: object, told: dict[str, Any]) -> str | None:
        """Make the event of a call and see to it.

        Args:
            call: What makes it.
            name: Its name, if it is a string.
            told: The call's arguments.
        """
        raise NotImplementedError
