"""Who is not tracked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.http import HttpResponse

from datalyr_core import Event
from tests.django.conftest import MakeSite

REFUSALS = {
    "opt-out cookie": ({"cookie": "__dl_opt_out=true"}, {}),
    "Global Privacy Control": ({"sec-gpc": "1"}, {}),
    "Do Not Track, if configured": ({"dnt": "1"}, {"respect_dnt": True}),
}
CONSENTS = {
    "opt-out cookie that says false": ({"cookie": "__dl_opt_out=false"}, {}),
    "opt-out cookie, not respected": ({"cookie": "__dl_opt_out=true"}, {"respect_opt_out": False}),
    "Global Privacy Control, not respected": ({"sec-gpc": "1"}, {"respect_gpc": False}),
    "Do Not Track by default": ({"dnt": "1"}, {}),
    "nothing said": ({}, {}),
}


def every_call(request: Any) -> HttpResponse:
    tracker = request.datalyr
    ids = [
        tracker.track("Bought"),
        tracker.identify("u1"),
        tracker.page(),
        tracker.group("g1"),
        tracker.alias("u2"),
        tracker.track_purchase(1),
    ]
    return HttpResponse(f"{tracker.allowed} {tracker.anonymous_id} {any(ids)}")


@pytest.mark.parametrize("kind", REFUSALS)
def test_visitor_who_refuses_is_not_tracked(make_site: MakeSite, way: str, kind: str) -> None:
    dropped: list[tuple[str, str]] = []

    def on_drop(events: Sequence[Event], reason: str) -> None:
        dropped.extend((event.event, reason) for event in events)

    headers, options = REFUSALS[kind]
    site = make_site(every_call, on_drop=on_drop, set_visitor_cookie=True, **options)
    response = site.ask(way, headers=headers)
    assert response.content == b"False None False"
    assert not response.cookies
    assert "Cache-Control" not in response.headers
    assert site.events == []
    assert site.client.stats.dropped == {"consent": 6}
    names = ["Bought", "$identify", "$pageview", "$group", "$alias", "purchase"]
    assert dropped == [(name, "consent") for name in names]


@pytest.mark.parametrize("kind", CONSENTS)
def test_visitor_who_does_not_is_tracked(make_site: MakeSite, way: str, kind: str) -> None:
    headers, options = CONSENTS[kind]
    site = make_site(every_call, set_visitor_cookie=True, **options)
    response = site.ask(way, headers=headers)
    assert response.content.startswith(b"True anon_")
    assert "__dl_visitor_id" in response.cookies
    assert len(site.events) == 6
    assert site.client.stats.dropped == {}


def test_opt_out_in_a_second_cookie_line_counts(make_site: MakeSite) -> None:
    from asgiref.sync import async_to_sync

    site = make_site()
    lines = [(b"cookie", b"__dl_visitor_id=v1"), (b"cookie", b"__dl_opt_out=true")]
    async_to_sync(site.abrowser.request)(path="/async", headers=lines)
    assert site.events == []


def test_client_of_the_process_is_the_applications_own_decision(make_site: MakeSite) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.client.track("u1", "Invoice Paid")
        return HttpResponse()

    site = make_site(view)
    site.get(headers={"sec-gpc": "1"})
    assert [event.event for event in site.events] == ["Invoice Paid"]
