"""What each call of an SDK must put into its event. Pure: a body in, sentences out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .wire_json import show

Body = Mapping[str, Any]
ALIAS_KEYS = ("new_user_id", "previous_id", "userId", "previousId")


def call_violations(body: Body) -> Iterator[str]:
    """Find what breaks the rules of the call that an event's name stands for.

    Args:
        body: The request's body; its `properties` are an object.

    Returns:
        One sentence for each breach.
    """
    rule = RULES.get(body["event"]) if isinstance(body.get("event"), str) else None
    if rule is not None:
        yield from rule(body, body["properties"])


def is_text(value: object) -> bool:
    """Tell whether a value is a string with something in it.

    Args:
        value: Any JSON value.

    Returns:
        True for a non-empty string.
    """
    return isinstance(value, str) and value != ""


def _identify(body: Body, _properties: Body) -> Iterator[str]:
    if "userId" not in body:
        yield "$identify: it names no userId"


def _pageview(_body: Body, properties: Body) -> Iterator[str]:
    # `name` may also be the caller's own property; without any url it is the better guess.
    if is_text(properties.get("name")) and properties.get("url") is None:
        yield "$pageview: there is a name, so properties.url must be there too"


def _alias(body: Body, properties: Body) -> Iterator[str]:
    if "userId" not in body:
        yield "$alias: it names no userId"
    for key in ALIAS_KEYS:
        if not is_text(properties.get(key)):
            yield f"$alias: properties.{key} must be a non-empty string"
    new, previous, user, previous_too = (properties.get(key) for key in ALIAS_KEYS)
    if not new == user == body.get("userId"):
        yield "$alias: properties.new_user_id, properties.userId and userId must be the same"
    if previous != previous_too:
        yield "$alias: properties.previous_id and properties.previousId must be the same"


def _group(_body: Body, properties: Body) -> Iterator[str]:
    if properties.get("groupId") in (None, ""):
        yield "$group: properties.groupId is missing"


def _purchase(_body: Body, properties: Body) -> Iterator[str]:
    value, currency = properties.get("value"), properties.get("currency")
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield f"purchase: properties.value must be a number, not {show(value)}"
    if not (isinstance(currency, str) and currency.strip() and currency == currency.upper()):
        yield f"purchase: properties.currency must be in upper case, not {show(currency)}"


RULES: dict[str, Callable[[Body, Body], Iterator[str]]] = {
    "$identify": _identify,
    "$pageview": _pageview,
    "$alias": _alias,
    "$group": _group,
    "purchase": _purchase,
}
