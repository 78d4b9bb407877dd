"""A visitor: a browser with its own cookies, who notes what each shop says it tracked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import httpx

from scripts._demo.child import Child
from scripts._demo.ledger import Entry, Ledger
from scripts._demo.page import Page
from scripts._demo.waiting import Stop

COOKIE = "__dl_visitor_id"
PAID_AT, PAID_AT_ISO = 1751373296, "2025-07-01T12:34:56.000Z"


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

    def pay(self, shop: Child, event_id: str, times: int = 1) -> None:
        """Let the payment service report a payment of this visitor, and deliver it again."""
        paid = {"client_reference_id": self.cookie, "amount_total": 4999, "currency": "eur"}
        payload = {
            "id": event_id,
            "type": "checkout.session.completed",
            "created": PAID_AT,
            "data": {"object": paid},
        }
        also = {"value": 49.99, "currency": "EUR", "timestamp": PAID_AT_ISO}
        for _ in range(times):
            self._stop.check()
            httpx.post(f"{shop.url}/webhook", json=payload, trust_env=False).raise_for_status()
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
