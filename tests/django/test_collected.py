"""Nothing of ours keeps a request alive once it is served."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse

from datalyr_django.settings import forget_client
from tests.django.conftest import OURS, MakeSite, Site, buy, silent


def raising(request: Any) -> HttpResponse:
    buy(request)
    raise ValueError("on purpose")


class Watched:
    """Serve a view, and watch its requests and trackers."""

    def __init__(self, view: Any) -> None:
        self.view = view
        self.alive: list[weakref.ref[Any]] = []

    def __call__(self, request: Any) -> HttpResponse:
        self.alive += [weakref.ref(request), weakref.ref(request.datalyr)]
        response: HttpResponse = self.view(request)
        return response

    def left(self, site: Site) -> list[Any]:
        site.client.flush(10)
        gc.collect()
        return [each() for each in self.alive if each() is not None]


@pytest.mark.parametrize("view", [silent, buy, raising])
def test_request_and_tracker_are_collected(
    make_site: MakeSite, way: str, view: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A log record of a failed request keeps its traceback, and pytest keeps the record.
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)
    watched = Watched(view)
    site = make_site(watched, set_visitor_cookie=True)
    for _ in range(3):
        site.ask(way)
    assert len(watched.alive) == 6
    site.browser.exc_info = site.abrowser.exc_info = None
    assert watched.left(site) == []


def test_stream_of_many_chunks_leaves_nothing(make_site: MakeSite) -> None:
    async def chunks(request: Any) -> Any:
        for number in range(300):
            request.datalyr.track("Chunk", {"number": number})
            yield b"."

    watched = Watched(lambda request: StreamingHttpResponse(chunks(request)))
    site = make_site(watched, max_queue_size=1000)
    assert site.aread("/async") == b"." * 300
    assert [event.properties["number"] for event in site.events] == list(range(300))
    assert watched.left(site) == []


def test_client_that_was_replaced_is_collected(make_site: MakeSite) -> None:
    site = make_site(middleware=(OURS,))
    site.get()
    gone = weakref.ref(site.client)
    forget_client()
    site.get()
    gc.collect()
    assert gone() is None
