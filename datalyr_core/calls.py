"""The calls: what each of them puts into an event, and which arguments it cannot do without."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from datalyr_core.encoding import plain
from datalyr_core.errors import InvalidEvent, shown
from datalyr_core.event import CONTEXT, Event, clean_event_id, clean_timestamp, now
from datalyr_core.identity import new_anonymous_id, new_id

_NEVER_IDS = (bool, float, bytes, Mapping, list, tuple, set, frozenset, Awaitable)


def track(
    user_id: object = None,
    event: object = None,
    properties: object = None,
    event_id: object = None,
    timestamp: object = None,
    *,
    anonymous_id: object = None,
) -> Event:
    """Make the event of a `track` call.

    Raises:
        InvalidEvent: The name is no non-empty string, or an argument has a wrong type.
    """
    if not isinstance(event, str) or not event:
        raise InvalidEvent(f"an event name must be a non-empty string, not {_told(event)}")
    # Most events come through here, so nothing is called that has nothing to do.
    return Event(
        event,
        None if user_id is None else clean_id(user_id, "user_id"),
        clean_id(anonymous_id, "anonymous_id") or new_anonymous_id(),
        new_id() if event_id is None else clean_event_id(event_id),
        properties.copy() if type(properties) is dict else _properties(properties),
        CONTEXT.copy(),
        now() if timestamp is None else clean_timestamp(timestamp),
    )


def identify(
    user_id: object = None, traits: object = None, *, anonymous_id: object = None
) -> Event:
    """Make the event of an `identify` call, which needs a user id."""
    return track(_required(user_id, "user_id"), "$identify", traits, anonymous_id=anonymous_id)


def page(
    user_id: object = None,
    name: object = None,
    properties: object = None,
    known: Mapping[str, Any] | None = None,
    *,
    anonymous_id: object = None,
) -> Event:
    """Make the event of a `page` call.

    Args:
        user_id: The user, if there is one.
        name: The page's name, which stands in for a missing URL.
        properties: The caller's own, which win.
        known: What the request tells of the page.
        anonymous_id: The visitor.
    """
    known = known or {}
    told = {**known, **({} if name is None else {"name": name}), **_properties(properties)}
    if told.get("url") is None:
        url = known.get("url") or name
        if url is not None:
            told["url"] = url
    return track(user_id, "$pageview", told, anonymous_id=anonymous_id)


def alias(
    new_user_id: object = None, previous_id: object = None, *, anonymous_id: object = None
) -> Event:
    """Make the event of an `alias` call, which needs the new id."""
    new = _required(new_user_id, "new_user_id")
    event = track(new, "$alias", anonymous_id=anonymous_id)
    previous = clean_id(previous_id, "previous_id") or event.anonymous_id
    # The ingest reads the camelCase pair, people read the other.
    event.properties |= {
        "new_user_id": new,
        "previous_id": previous,
        "userId": new,
        "previousId": previous,
    }
    return event


def group(
    user_id: object = None,
    group_id: object = None,
    traits: object = None,
    *,
    anonymous_id: object = None,
) -> Event:
    """Make the event of a `group` call, which needs a group id."""
    told = _required(group_id, "group_id")
    properties = {"groupId": group_id if isinstance(group_id, int) else told}
    properties |= _properties(traits)
    return track(user_id, "$group", properties, anonymous_id=anonymous_id)


def track_purchase(
    user_id: object = None,
    value: object = None,
    currency: object = None,
    properties: object = None,
    event_id: object = None,
    timestamp: object = None,
    *,
    anonymous_id: object = None,
) -> Event:
    """Make the event of a `track_purchase` call, which needs a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise InvalidEvent(f"a purchase needs a number as its value, not {_told(value)}")
    if not math.isfinite(value):
        raise InvalidEvent(f"a purchase needs a finite value, not {value}")
    if currency is not None and not isinstance(currency, str):
        raise InvalidEvent(f"a currency must be a string such as 'EUR', not {_told(currency)}")
    told = {**_properties(properties), "value": value, "currency": (currency or "USD").upper()}
    return track(
        user_id,
        "purchase",
        told,
        anonymous_id=anonymous_id,
        event_id=event_id,
        timestamp=timestamp,
    )


def reason(error: Exception) -> str:
    """Say why a call has made no event; a value may raise anything when it is looked at."""
    if isinstance(error, InvalidEvent):
        return str(error)
    return f"an argument cannot be read ({type(error).__name__})"


def refused(
    name: object,
    /,
    *,
    user_id: object = None,
    anonymous_id: object = None,
    properties: object = None,
    **_: object,
) -> Event:
    """Tell of an event that is not made what can be told, for `on_drop`."""
    told = Event(name if isinstance(name, str) else "")
    with suppress(Exception):
        told.user_id = clean_id(user_id, "user_id")
    with suppress(Exception):
        told.anonymous_id = clean_id(anonymous_id, "anonymous_id") or ""
    with suppress(Exception):
        told.properties = _properties(properties)
    return told


def clean_id(value: object, name: str) -> str | None:
    """Make an id a string.

    Args:
        value: A string, an int, a UUID, or an object whose `str()` is its id.
        name: The argument's name, for the message.

    Returns:
        The string, or None for None and the empty string. Zero is an id.

    Raises:
        InvalidEvent: The value is of a type that is never an id.
    """
    if value is None:
        return None
    if type(value) is str:
        return value or None
    if isinstance(value, _NEVER_IDS) or callable(value) or _says_nothing(value):
        raise InvalidEvent(f"{name} must be a string, an int or a UUID, not {_told(value)}")
    if hasattr(value, "is_authenticated"):  # its str() would be a name, or "AnonymousUser"
        raise InvalidEvent(f"{name} must be the user's id, such as user.pk, not {_told(value)}")
    return str(value) or None


def _says_nothing(value: object) -> bool:
    """Tell whether `str()` of an object is but its address."""
    return type(value).__str__ is object.__str__ and type(value).__repr__ is object.__repr__


def _required(value: object, name: str) -> str:
    """Return an id that a call cannot do without."""
    told = clean_id(value, name)
    if told is None:
        raise InvalidEvent(f"{name} is required")
    return told


def _properties(value: object) -> dict[str, Any]:
    """Copy the caller's properties, so that a later change to them changes nothing here."""
    if value is None:
        return {}
    if type(value) is dict or isinstance(value, Mapping):
        return dict(value)
    told = plain(value)  # a dataclass or a model is as good as a mapping
    if isinstance(told, dict):
        return told
    raise InvalidEvent(f"properties must be a mapping, not {_told(value)}")


def _told(value: object) -> str:
    return f"{shown(value)} ({type(value).__name__})"
