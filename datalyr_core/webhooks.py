"""Webhooks of payment services: an event's own id and time, and its money as a `Decimal`.

A webhook is delivered again until it is answered, and may be delivered twice even then. With
the id and the time that it has of its own it counts once, when it happened:

    client.track(event="Purchase Completed", user_id=…, **webhooks.stripe(event))
    client.track_purchase(None, webhooks.shopify_amount(order), webhooks.shopify_currency(order),
                          **webhooks.shopify(request.headers))

Verify the signature first; nothing here does. Nothing here raises either: what cannot be read
is left out, with a warning, so that the call goes on with a fresh id and the present time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, TypedDict, TypeVar

from datalyr_core.errors import shown
from datalyr_core.event import read_moment

logger = logging.getLogger("datalyr")

T = TypeVar("T")

WINDOW = timedelta(hours=6)  # in which the ingest knows an event id again

# https://docs.stripe.com/currencies: amounts are in the smallest unit, of which there are a
# hundred but for these. ISK and UGX have no decimals and are written with two all the same;
# HUF and TWD have none in payouts alone.
_WITHOUT_DECIMALS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD JOD KWD OMR TND"
_MOST = 10**18  # in the smallest unit; no payment comes near it
_EXACT = Context(prec=40)  # not the thread's own, which an application may have narrowed


class Origin(TypedDict, total=False):
    """Hold what `track` and `track_purchase` take of a webhook."""

    event_id: str
    timestamp: str | float


def stripe(event: Any) -> Origin:
    """Read id and time of a Stripe event.

    Args:
        event: The event: a mapping, stripe-python's own object, or a thin event's notification.
    """
    return _guarded(lambda: _stripe(event), Origin(), "stripe() cannot read the event")


def shopify(headers: Any) -> Origin:
    """Read id and time of a Shopify webhook.

    `X-Shopify-Event-Id` is the same for all deliveries of an event, to all subscriptions;
    `X-Shopify-Webhook-Id`, which stands in for it, is one delivery's and its repetitions'.

    Args:
        headers: The request's headers: any framework's, a mapping, a WSGI environ, or pairs.
    """
    return _guarded(lambda: _shopify(headers), Origin(), "shopify() cannot read the headers")


def stripe_amount(amount: Any, currency: Any) -> Decimal | None:
    """Write an amount of Stripe's in the currency's main unit: 4999 of "eur" is 49.99.

    Args:
        amount: A count of the smallest unit: an int, or a decimal such as `unit_amount_decimal`.
        currency: The three letters, in any case.

    Returns:
        The amount; None, with a warning, of what is none.
    """
    why = f"stripe_amount() cannot read {shown(amount)} of {shown(currency)}"
    return _guarded(lambda: _stripe_amount(amount, currency), None, why)


def shopify_amount(order: Any, *, presentment: bool = False) -> Decimal | None:
    """Read the total of an order, as it was bought.

    Args:
        order: The payload of an `orders/…` webhook.
        presentment: In the currency that the customer saw, not the shop's.

    Returns:
        The amount; None, with a warning, when there is none.
    """
    why = "shopify_amount() cannot read the order's total"
    return _guarded(lambda: _amount(_shopify_money(order, presentment)[0]), None, why)


def shopify_currency(order: Any, *, presentment: bool = False) -> str | None:
    """Read the currency of what `shopify_amount` reads.

    Args:
        order: The payload of an `orders/…` webhook.
        presentment: The currency that the customer saw, not the shop's.

    Returns:
        The three letters; None, with a warning, when there are none.
    """
    why = "shopify_currency() cannot read the order's currency"
    return _guarded(lambda: _letters(_shopify_money(order, presentment)[1]), None, why)


def _stripe(event: Any) -> Origin:
    if isinstance(event, Mapping):  # as stripe-python's own objects were, in older versions
        return _origin("Stripe's event", event.get("id"), event.get("created"))
    return _origin("Stripe's event", getattr(event, "id", None), getattr(event, "created", None))


def _shopify(headers: Any) -> Origin:
    found = _by_name(headers)
    event_id = found.get("shopify-event-id") or found.get("shopify-webhook-id")
    return _origin("Shopify's webhook", event_id, found.get("shopify-triggered-at"))


def _by_name(headers: Any) -> dict[str, str]:
    """Return headers by a name that is the same in every way of writing it."""
    found: dict[str, str] = {}
    for name, value in headers.items() if hasattr(headers, "items") else headers:
        text = _decoded(value)
        if isinstance(text, str):  # a WSGI environ holds other things too
            name = str(_decoded(name)).lower().replace("_", "-")
            found.setdefault(name.removeprefix("http-").removeprefix("x-"), text.strip())
    return found


def _decoded(text: Any) -> Any:
    return text.decode("latin-1") if isinstance(text, bytes) else text


def _origin(whose: str, event_id: Any, timestamp: Any) -> Origin:
    origin = Origin()
    if isinstance(event_id, str) and event_id.strip():
        origin["event_id"] = event_id
    else:
        logger.warning("%s has no id: delivered again, it counts again", whose)
    moment = read_moment(timestamp)
    if moment is None:
        logger.warning("%s has no time that can be read; it counts as of now", whose)
    else:
        origin["timestamp"] = timestamp
        _warn_of_replay(whose, event_id, datetime.now(UTC) - moment)
    return origin


def _warn_of_replay(whose: str, event_id: Any, age: timedelta) -> None:
    if age <= WINDOW:
        return
    minutes = age // timedelta(minutes=1)
    logger.warning(
        "%s %s is %d h %02d min old; ids are known again for %d hours, so if it was tracked "
        "before it counts twice",
        whose,
        shown(event_id),
        *divmod(minutes, 60),
        WINDOW // timedelta(hours=1),
    )


def _stripe_amount(amount: Any, currency: Any) -> Decimal:
    letters = _letters(currency)
    # Three letters are a part of such a list only as a whole word.
    decimals = 0 if letters in _WITHOUT_DECIMALS else 3 if letters in _THREE_DECIMALS else 2
    return _EXACT.scaleb(_amount(amount), -decimals)


def _shopify_money(order: Any, presentment: bool) -> tuple[Any, Any]:
    """Find the total and its currency; `current_…` is what edits and refunds have left of it."""
    kind = "presentment_money" if presentment else "shop_money"
    for total in ("total_price", "current_total_price"):
        if money := (order.get(f"{total}_set") or {}).get(kind):
            return money["amount"], money["currency_code"]
        if not presentment and order.get(total) is not None:
            return order[total], order["currency"]
    raise KeyError("total_price")


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise TypeError("no amount")
    amount = Decimal(value)
    if not (amount.is_finite() and amount.copy_abs() < _MOST):
        raise ValueError("no amount")
    return amount


def _letters(currency: Any) -> str:
    letters = str(currency).strip().upper()
    if not (len(letters) == 3 and letters.isascii() and letters.isalpha()):
        raise ValueError("no currency")
    return letters


def _guarded(read: Callable[[], T], otherwise: T, why: str) -> T:
    try:
        return read()
    except Exception as error:  # whatever it was given, a webhook's view goes on
        logger.warning("%s (%s)", why, type(error).__name__)
        return otherwise
