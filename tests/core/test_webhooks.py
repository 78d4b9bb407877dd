from __future__ import annotations

import decimal
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import Message
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalyr_core import Event, webhooks
from datalyr_core.testing import recording_client

Said = Callable[[], list[str]]

# The shapes are those of real deliveries; the values are made up.


def stripe_event(created: Any, **changed: Any) -> dict[str, Any]:
    session = {
        "id": "cs_test_a1YS1URlnyQCN5fUUduORoQ7Pw41PJqDWkIVQCpJPqkfIhd6tVY8XB1OLY",
        "object": "checkout.session",
        "amount_subtotal": 4999,
        "amount_total": 4999,
        "client_reference_id": "anon_3d5cf66d-203f-4009-8bb0-f3714da152a4",
        "currency": "eur",
        "livemode": False,
        "metadata": {},
        "mode": "payment",
        "payment_intent": "pi_1DoWjK2eZvKYlo2Csy9J3BHs",
        "payment_status": "paid",
        "status": "complete",
    }
    return {
        "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": created,
        "data": {"object": session},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "checkout.session.completed",
        **changed,
    }


def thin_event(created: str) -> dict[str, Any]:
    return {
        "id": "evt_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0",
        "object": "v2.core.event",
        "type": "v1.billing.meter.error_report_triggered",
        "livemode": False,
        "created": created,
        "related_object": {
            "id": "mtr_test_61R9IeP0SgKbYROOx41PEAQhH0qO23oW",
            "type": "billing.meter",
            "url": "/v1/billing/meters/mtr_test_61R9IeP0SgKbYROOx41PEAQhH0qO23oW",
        },
    }


EVENT_ID = "98880550-7158-44d4-b7cd-2c97c8a091b5"
WEBHOOK_ID = "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"


def shopify_headers(triggered_at: str) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "Shopify-Captain-Hook",
        "X-Shopify-API-Version": "2025-10",
        "X-Shopify-Event-Id": EVENT_ID,
        "X-Shopify-Hmac-Sha256": "XWmrwMey6OsLMeiZKwP4FppHH3cmAiiJJAweH5Jo4bM=",
        "X-Shopify-Shop-Domain": "tea-corner.myshopify.com",
        "X-Shopify-Topic": "orders/paid",
        "X-Shopify-Triggered-At": triggered_at,
        "X-Shopify-Webhook-Id": WEBHOOK_ID,
    }


def money(shop: str, presentment: str) -> dict[str, Any]:
    return {
        "shop_money": {"amount": shop, "currency_code": "EUR"},
        "presentment_money": {"amount": presentment, "currency_code": "JPY"},
    }


ORDER: dict[str, Any] = {
    "id": 820982911946154508,
    "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
    "currency": "EUR",
    "presentment_currency": "JPY",
    "current_total_price": "149.00",  # one thing was sent back
    "current_total_price_set": money("149.00", "24100"),
    "financial_status": "paid",
    "name": "#9999",
    "total_price": "199.00",
    "total_price_set": money("199.00", "32187"),
}


def ago(**units: float) -> datetime:
    return datetime.now(UTC) - timedelta(**units)


def iso(moment: datetime) -> str:
    """Write a moment as Shopify does, in nanoseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}743Z"


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Said]:
    """Tell what was warned about so far."""
    with caplog.at_level(logging.WARNING, "datalyr"):
        yield lambda: caplog.messages


def tracked(origin: webhooks.Origin) -> Event:
    with recording_client() as client:
        assert client.track(event="Purchase Completed", user_id="user_1", **origin)
        (event,) = client.events
    return event


# Stripe


def as_stripe_object(payload: dict[str, Any]) -> Any:
    stripe = pytest.importorskip("stripe")
    return stripe.Event.construct_from(payload, "sk_test_none")


def as_notification(payload: dict[str, Any]) -> Any:
    stripe = pytest.importorskip("stripe")
    client = stripe.StripeClient("sk_test_none")
    return pytest.importorskip("stripe.v2.core").EventNotification.from_json(payload, client)


@pytest.mark.parametrize("shape", [dict, as_stripe_object, lambda event: SimpleNamespace(**event)])
def test_an_event_of_stripe_keeps_its_id_and_time(
    shape: Callable[[dict[str, Any]], Any], said: Said
) -> None:
    created = int(ago(minutes=2).timestamp())

    origin = webhooks.stripe(shape(stripe_event(created)))

    assert origin == {"event_id": "evt_1NG8Du2eZvKYlo2CUI79vXWy", "timestamp": created}
    event = tracked(origin)
    assert event.event_id == "evt_1NG8Du2eZvKYlo2CUI79vXWy"
    assert event.timestamp == f"{datetime.fromtimestamp(created, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    assert not said()


@pytest.mark.parametrize("shape", [dict, as_stripe_object, as_notification])
def test_a_thin_event_of_stripe_keeps_its_id_and_time(
    shape: Callable[[dict[str, Any]], Any], said: Said
) -> None:
    created = f"{ago(minutes=2):%Y-%m-%dT%H:%M:%S.123Z}"

    origin = webhooks.stripe(shape(thin_event(created)))

    assert origin["event_id"] == "evt_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w3TGDPLLGSM4CW0"
    assert tracked(origin).timestamp == created
    assert not said()


# Shopify


def as_environ(headers: dict[str, str]) -> dict[str, Any]:
    named = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
    return {"REQUEST_METHOD": "POST", "wsgi.input": object(), "wsgi.version": (1, 0), **named}


def as_message(headers: dict[str, str]) -> Message:
    message = Message()  # what `http.server` and `http.client` have
    for name, text in headers.items():
        message[name.lower()] = text
    return message


def as_scope(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), text.encode()) for name, text in headers.items()]


def as_django(headers: dict[str, str]) -> Any:
    http_request = pytest.importorskip("django.http.request")
    return http_request.HttpHeaders(as_environ(headers))


def as_flask(headers: dict[str, str]) -> Any:
    return pytest.importorskip("werkzeug.datastructures").EnvironHeaders(as_environ(headers))


def as_starlette(headers: dict[str, str]) -> Any:
    return pytest.importorskip("starlette.datastructures").Headers(raw=as_scope(headers))


def as_lower_case(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}


HEADERS = [dict, as_lower_case, as_environ, as_message, as_scope]
HEADERS += [as_django, as_flask, as_starlette]


@pytest.mark.parametrize("shape", HEADERS)
def test_headers_of_every_kind_are_read(shape: Callable[[dict[str, str]], Any], said: Said) -> None:
    triggered_at = ago(minutes=2)

    origin = webhooks.shopify(shape(shopify_headers(iso(triggered_at))))

    assert origin == {"event_id": EVENT_ID, "timestamp": iso(triggered_at)}
    event = tracked(origin)
    assert event.event_id == EVENT_ID
    assert event.timestamp == f"{triggered_at.isoformat(timespec='milliseconds')[:23]}Z"
    assert not said()


def test_a_delivery_to_another_subscription_is_the_same_event() -> None:
    headers = shopify_headers(iso(ago(minutes=2)))
    other = {**headers, "X-Shopify-Webhook-Id": "another", "X-Shopify-Topic": "orders/create"}
    assert webhooks.shopify(headers) == webhooks.shopify(other)


def test_the_deliverys_id_stands_in_for_the_events(said: Said) -> None:
    headers = shopify_headers(iso(ago(minutes=2)))
    del headers["X-Shopify-Event-Id"]
    assert webhooks.shopify(headers)["event_id"] == WEBHOOK_ID
    assert not said()


def test_names_without_an_x_are_read_too(said: Said) -> None:
    headers = shopify_headers(iso(ago(minutes=2)))
    bare = {name.removeprefix("X-"): text for name, text in headers.items()}
    assert webhooks.shopify(bare) == webhooks.shopify(headers)
    assert not said()


def test_the_first_of_two_headers_counts() -> None:
    headers = [*shopify_headers(iso(ago(minutes=2))).items(), ("X-Shopify-Event-Id", "second")]
    assert webhooks.shopify(headers)["event_id"] == EVENT_ID


# Replays


@pytest.mark.parametrize(
    ("age", "told"),
    [
        ({"hours": 6, "minutes": 3}, "6 h 03 min"),
        ({"days": 2, "minutes": 61}, "49 h 01 min"),
    ],
)
def test_an_event_older_than_the_window_is_warned_about_once(
    age: dict[str, float], told: str, said: Said
) -> None:
    when = ago(seconds=5, **age)

    from_stripe = webhooks.stripe(stripe_event(int(when.timestamp())))
    from_shopify = webhooks.shopify(shopify_headers(iso(when)))

    assert [message.partition(";")[0] for message in said()] == [
        f"Stripe's event 'evt_1NG8Du2eZvKYlo2CUI79vXWy' is {told} old",
        f"Shopify's webhook '{EVENT_ID}' is {told} old",
    ]
    assert all("it counts twice" in message for message in said())
    assert from_stripe["timestamp"] == int(when.timestamp())  # it is tracked all the same
    assert from_shopify["event_id"] == EVENT_ID


def test_within_the_window_nothing_is_said(said: Said) -> None:
    webhooks.stripe(stripe_event(int(ago(hours=5, minutes=50).timestamp())))
    webhooks.stripe(stripe_event(int(ago(hours=-1).timestamp())))  # Stripe's clock is ahead
    assert not said()


# What is missing or hostile


class Hostile(dict[str, Any]):
    def get(self, *_: object) -> Any:
        raise RuntimeError("no")

    items = get  # type: ignore[assignment]  # wrong on purpose

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("event_id", [None, "", "  ", 7, b"evt_1", ["evt_1"]])
def test_an_event_without_an_id_gets_a_fresh_one(event_id: object, said: Said) -> None:
    created = int(ago(minutes=2).timestamp())
    origin = webhooks.stripe(stripe_event(created, id=event_id))
    assert origin == {"timestamp": created}
    assert tracked(origin).event_id
    assert said() == ["Stripe's event has no id: delivered again, it counts again"]


@pytest.mark.parametrize("created", [None, True, "soon", 10**400, -(10**18), float("nan"), {}])
def test_an_event_without_a_time_is_of_now(created: object, said: Said) -> None:
    origin = webhooks.stripe(stripe_event(created))
    assert origin == {"event_id": "evt_1NG8Du2eZvKYlo2CUI79vXWy"}
    assert tracked(origin).timestamp
    assert said() == ["Stripe's event has no time that can be read; it counts as of now"]


@pytest.mark.parametrize("event", [None, 7, "evt_1", b"{}", [], {}, object(), Hostile()])
@pytest.mark.parametrize("read", [webhooks.stripe, webhooks.shopify])
def test_what_is_no_webhook_is_warned_about(
    read: Callable[[Any], webhooks.Origin], event: object, said: Said
) -> None:
    origin = read(event)
    assert origin == {}
    assert said()
    assert tracked(origin).event == "Purchase Completed"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner),
    max_leaves=8,
)


@given(event_id=anything, moment=anything, event=anything)
def test_nothing_raises(event_id: object, moment: object, event: object) -> None:
    headers = {"X-Shopify-Event-Id": event_id, "X-Shopify-Triggered-At": moment}
    for origin in (
        webhooks.stripe(event),
        webhooks.stripe({"id": event_id, "created": moment}),
        webhooks.shopify(event),
        webhooks.shopify(headers),
    ):
        assert origin.keys() <= {"event_id", "timestamp"}
    for amount in (webhooks.stripe_amount(event_id, moment), webhooks.shopify_amount(event)):
        assert amount is None or amount.is_finite()
    webhooks.shopify_currency(event)


# Money


@pytest.mark.parametrize(
    ("amount", "currency", "value"),
    [
        (4999, "eur", "49.99"),
        (4999, "USD", "49.99"),
        (0, "usd", "0.00"),
        (-250, "gbp", "-2.50"),
        (500, "jpy", "500"),
        (12_000, "krw", "12000"),
        (300, "mga", "300"),
        (5120, "kwd", "5.120"),
        (5120, "tnd", "5.120"),
        (500, "isk", "5.00"),  # without decimals, and written with two
        (500, "ugx", "5.00"),
        (1045, "huf", "10.45"),  # without them in payouts alone
        (80_000, "twd", "800.00"),
        (Decimal("1999.5"), "usd", "19.995"),  # unit_amount_decimal
        ("1999.5", " usd ", "19.995"),
        (99_999_999_999, "idr", "999999999.99"),
    ],
)
def test_an_amount_of_stripe_is_exact(amount: Any, currency: str, value: str) -> None:
    told = webhooks.stripe_amount(amount, currency)
    assert isinstance(told, Decimal)
    assert told == Decimal(value)


# Copied from https://docs.stripe.com/currencies, so that a slip in the code's own list shows.
ZERO = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf"}
ZERO |= {"vnd", "vuv", "xaf", "xof", "xpf"}
THREE = {"bhd", "jod", "kwd", "omr", "tnd"}


@given(
    amount=st.integers(-(10**12), 10**12),
    currency=st.sampled_from(sorted(ZERO | THREE))
    | st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=3),
)
def test_every_currency_has_stripes_decimals(amount: int, currency: str) -> None:
    decimals = 0 if currency in ZERO else 3 if currency in THREE else 2
    told = webhooks.stripe_amount(amount, currency)
    assert told is not None
    assert told * 10**decimals == amount
    assert told.as_tuple().exponent == -decimals


def test_an_applications_own_decimal_context_changes_nothing() -> None:
    with decimal.localcontext() as context:
        context.prec = 2
        context.traps[decimal.Inexact] = True
        told = webhooks.stripe_amount(123_456, "eur")
    assert told == Decimal("1234.56")


@pytest.mark.parametrize(
    ("amount", "currency"),
    [
        (None, "eur"),
        (True, "eur"),
        (49.99, "eur"),
        ("a lot", "eur"),
        ("", "eur"),
        ("NaN", "eur"),
        (Decimal("Infinity"), "eur"),
        pytest.param(10**400, "eur", id="endless"),
        (4999, None),
        (4999, ""),
        (4999, "euro"),
        (4999, "é€$"),
        (4999, 978),
        (4999, b"eur"),
    ],
)
def test_what_is_no_amount_is_warned_about(amount: Any, currency: Any, said: Said) -> None:
    assert webhooks.stripe_amount(amount, currency) is None
    assert len(said()) == 1
    assert said()[0].startswith("stripe_amount() cannot read ")


def without(*names: str) -> dict[str, Any]:
    return {name: told for name, told in ORDER.items() if name not in names}


SETS = ("total_price_set", "current_total_price_set")


@pytest.mark.parametrize(
    ("order", "presentment", "amount", "currency"),
    [
        (ORDER, False, "199.00", "EUR"),
        (ORDER, True, "32187", "JPY"),
        (without(*SETS), False, "199.00", "EUR"),
        (without("total_price"), False, "199.00", "EUR"),
        (without("total_price", "total_price_set"), False, "149.00", "EUR"),
        (without("total_price", "total_price_set"), True, "24100", "JPY"),
        (without("total_price", *SETS), False, "149.00", "EUR"),
        ({"total_price": "0.00", "currency": "usd"}, False, "0.00", "USD"),
    ],
)
def test_the_total_of_an_order_as_it_was_bought(
    order: dict[str, Any], presentment: bool, amount: str, currency: str, said: Said
) -> None:
    order = json.loads(json.dumps(order))
    told = webhooks.shopify_amount(order, presentment=presentment)
    assert isinstance(told, Decimal)
    assert str(told) == amount
    assert webhooks.shopify_currency(order, presentment=presentment) == currency
    assert not said()


@pytest.mark.parametrize(
    "order",
    [
        None,
        [],
        {},
        {"total_price": "199.00"},
        {"total_price": "dear", "currency": "€"},
        {"total_price_set": {"shop_money": "199.00"}},
        {"total_price_set": 7},
        Hostile(),
    ],
)
def test_an_order_without_a_total_is_warned_about(order: Any, said: Said) -> None:
    assert webhooks.shopify_amount(order) is None
    assert webhooks.shopify_currency(order) is None
    assert [message.partition(" (")[0] for message in said()] == [
        "shopify_amount() cannot read the order's total",
        "shopify_currency() cannot read the order's currency",
    ]


def test_a_presentment_total_is_not_guessed(said: Said) -> None:
    assert webhooks.shopify_amount(without(*SETS), presentment=True) is None
    assert len(said()) == 1


def test_a_purchase_of_no_amount_is_dropped_and_raises_nothing() -> None:
    with recording_client() as client:
        value = webhooks.stripe_amount("a lot", "eur")
        assert client.track_purchase("user_1", value, "eur") is None
        assert client.stats.dropped["validation_error"] == 1
