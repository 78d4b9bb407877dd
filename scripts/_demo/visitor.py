"""A visitor: a browser with its own cookies, who notes what each shop says it tracked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, Self

import httpx

from scripts._demo import payments
from scripts._demo.child import Child
from scripts._demo.ledger import Entry, Ledger
from scripts._demo.page import Page
from scripts._demo.waiting import Stop

COOKIE = "__dl_visitor_id"


class Visitor:
    """Visit shops as a browser would.

    Args:
        who: A name for the table.
        ledger: Where to note what was tracked.
        stop: Looked at before each step.
        tracked: Whether this visitor may be tracked; changes with an opt-out.
        headers: Headers that the browser sends.
    """

    def __init__(
        self,
        who: str,
        ledger: Ledger,
        stop: Stop,
        tracked: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.who, self.tracked = who, tracked
        self._ledger, self._stop = ledger, stop
        self._http = httpx.Client(
            follow_redirects=True, timeout=15, trust_env=False, headers=headers
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def cookie(self) -> str | None:
        """The visitor's id as the browser keeps it."""
        return self._http.cookies.get(COOKIE)

    def land(self, shop: Child) -> Page:
        """Open a shop's page."""
        self._stop.check()
        page = Page(self._http.get(shop.url).raise_for_status().text)
        self._note(shop, page, "$pageview")
        return page

    def sign_up(self, shop: Child, email: str, plan: str) -> None:
        """Sign up; from here on the visitor is a user of this shop."""
        form = self.land(shop).forms["/signup"][0]
        traits = {"email": email, "plan": plan}
        self._post(shop, "/signup", {**form, **traits}, "$identify", traits)

    def buy(self, shop: Child, times: int = 1) -> None:
        """Buy the first product; more than once is the same form, sent again."""
        form = self.land(shop).forms["/buy"][0]
        for _ in range(times):
            self._post(shop, "/buy", form, "purchase", {"currency": "EUR"})

    def consent(self, shop: Child, tracked: bool) -> None:
        """Opt out of tracking, or in again."""
        action = "/opt-in" if tracked else "/opt-out"
        form = self.land(shop).forms[action][0]
        self.tracked = tracked
        self._post(shop, action, form)

    def pay(self, shop: Child) -> None:
        """Pay by card and by bank transfer; Stripe reports each of the two twice."""
        visitor = {"client_reference_id": self.cookie}
        card = {**visitor, "amount_total": 4999, "currency": "eur", "payment_status": "paid"}
        transfer = {**visitor, "amount_total": 6400, "currency": "jpy", "payment_status": "paid"}
        unpaid = {**transfer, "payment_status": "unpaid"}  # its money is still on the way
        by_card, begun, by_transfer = (f"evt_{secrets.token_hex(8)}" for _ in range(3))
        for _ in range(2):
            self._stop.check()
            payments.stripe(shop.url, by_card, "completed", **card)
            payments.stripe(shop.url, begun, "completed", **unpaid)
            payments.stripe(shop.url, by_transfer, "async_payment_succeeded", **transfer)
            self._note_payment(shop, by_card, 49.99, "EUR")
            self._note_payment(shop, by_transfer, 6400, "JPY")

    def order(self, shop: Child) -> None:
        """Pay an order; Shopify reports it to two subscriptions, and a forger reports another."""
        event_id, visitor = secrets.token_hex(16), self.cookie or ""
        for _ in range(2):
            self._stop.check()
            secret = payments.SHOPIFY_SECRET
            payments.shopify(shop.url, event_id, visitor, "199.00", secret).raise_for_status()
            self._note_payment(shop, event_id, 199, "EUR")
        forged = payments.shopify(shop.url, secrets.token_hex(16), visitor, "0.01", "guessed")
        if forged.status_code != 401:
            self._ledger.complain(f"{shop.name} answers a forged order with {forged.status_code}")

    def _note_payment(self, shop: Child, event_id: str, value: float, currency: str) -> None:
        also = {"value": value, "currency": currency, "timestamp": payments.PAID_AT}
        entry = Entry(self.who, shop.name, "purchase", self.cookie or "", None, also)
        self._ledger.note(event_id, entry)

    def _post(
        self,
        shop: Child,
        action: str,
        form: Mapping[str, str],
        event: str = "",
        also: dict[str, Any] | None = None,
    ) -> None:
        self._stop.check()
        headers = {"Referer": f"{shop.url}/"}
        reply = self._http.post(f"{shop.url}{action}", data=form, headers=headers)
        page = Page(reply.raise_for_status().text)  # of the redirect
        if event:
            self._note(shop, page, event, 1, also)
        self._note(shop, page, "$pageview")

    def _note(
        self, shop: Child, page: Page, event: str, age: int = 0, also: dict[str, Any] | None = None
    ) -> None:
        """Note what the page says it tracked: the newest event, or the one before it."""
        if page.visitor != ((self.cookie or "") if self.tracked else ""):
            self._ledger.complain(
                f"{shop.name} shows {self.who} as {page.visitor!r}, not {self.cookie!r}"
            )
        if not self.tracked:
            self._ledger.refusals[self.who] += 1  # what arrives all the same nobody tracked
            return
        name, event_id = page.tracked[age]
        if name != event:
            self._ledger.complain(f"{shop.name} shows {name} for {self.who}'s {event}")
        user = page.user or None
        self._ledger.note(
            event_id, Entry(self.who, shop.name, event, page.visitor, user, also or {})
        )
