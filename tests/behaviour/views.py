"""What the pages of every site do, said once: functions of a tracker and a query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from datalyr_core import Tracker, current_tracker

PAUSE = 0.002  # seconds that a page takes between two steps, so that requests overlap


@dataclass
class Page:
    """What a site makes its framework's response of."""

    body: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterator[str] | None = None  # streamed after the body
    then: Callable[[], Page] | None = None  # what comes after a pause


def buy(tracker: Tracker, query: Mapping[str, str]) -> Page:
    """Track by the request and, as code far below a view would, by the context."""
    tracker.track("Cart Viewed")
    below = current_tracker()
    if below is not None:
        below.track("Purchase Completed", {"amount": 99.99})
    return Page(str(tracker.anonymous_id))


def sign_up(tracker: Tracker, query: Mapping[str, str]) -> Page:
    tracker.track("Form Opened")
    tracker.identify(query["user"], {"plan": "pro"})
    tracker.track("Signed Up")
    return Page(str(tracker.user_id))


def page(tracker: Tracker, query: Mapping[str, str]) -> Page:
    tracker.page()
    return Page()


def every_call(tracker: Tracker, query: Mapping[str, str]) -> Page:
    tracker.group("company_456")
    tracker.alias("new_id")
    tracker.track_purchase(49.99, "eur", event_id="order-1")
    return Page()


def nonsense(tracker: Tracker, query: Mapping[str, str]) -> Page:
    """Make every mistake with an argument that Python lets one make."""
    wrong: Any
    for wrong in (None, 0, "", b"x", [], object(), float("nan"), _Hostile()):
        tracker.track(wrong)
        tracker.track("odd", wrong)
        tracker.track("odd", {"value": wrong, wrong if wrong != [] else 0: 1}, event_id=wrong)
        tracker.track("odd", timestamp=wrong)
        tracker.identify(wrong, wrong)
        tracker.page(wrong, wrong)
        tracker.alias(wrong, wrong)
        tracker.group(wrong, wrong)
        tracker.track_purchase(wrong, wrong, wrong)
        tracker.user_id = wrong
    return Page("done")


def silent(tracker: Tracker, query: Mapping[str, str]) -> Page:
    return Page(headers=_headers(query))


def respond(tracker: Tracker, query: Mapping[str, str]) -> Page:
    """Track and answer with the headers that the query names."""
    tracker.track("Seen")
    return Page(headers=_headers(query), status=int(query.get("status", 200)))


def outside(tracker: Tracker, query: Mapping[str, str]) -> Page:
    """Use the process-wide client, whom it is the application's decision to call."""
    client = tracker.client
    assert client is not None
    client.track("user_1", "Invoice Paid")
    return Page(str(tracker.allowed))


# What the isolation and shutdown suites ask for; `n` is the number of the request.


def plain(tracker: Tracker, query: Mapping[str, str]) -> Page:
    tracker.track("first", {"n": query["n"]})

    def later() -> Page:
        _here(tracker).track("second", {"n": query["n"]})
        return Page(str(tracker.anonymous_id))

    return Page(then=later)


def raising(tracker: Tracker, query: Mapping[str, str]) -> Page:
    tracker.track("first", {"n": query["n"]})

    def later() -> Page:
        _here(tracker).track("second", {"n": query["n"]})
        raise RuntimeError("as the test wants it")

    return Page(then=later)


def streaming(tracker: Tracker, query: Mapping[str, str]) -> Page:
    tracker.track("first", {"n": query["n"]})

    def chunks() -> Iterator[str]:
        for name in ("second", "third"):
            # A framework may have left its context by now, but never for another request's.
            if current_tracker() not in (None, tracker):
                tracker.track("a stranger's context")
            tracker.track(name, {"n": query["n"]})
            yield name

    return Page(chunks=chunks())


def late(tracker: Tracker, query: Mapping[str, str]) -> Page:
    """Track for the first time when the response has begun."""

    def chunks() -> Iterator[str]:
        yield "begun"
        tracker.track("Late")
        yield str(tracker.anonymous_id)

    return Page(headers=_headers(query), chunks=chunks())


def _here(tracker: Tracker) -> Tracker:
    """Return the tracker of the context, which is the request's own or a failed request."""
    here = current_tracker()
    assert here is tracker
    return here


def _headers(query: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in query.items() if name[:1].isupper()}


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no string")

    __repr__ = __str__
    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")


_PAGES = (buy, sign_up, page, every_call, nonsense, silent, respond, outside)
VIEWS: dict[str, Callable[[Tracker, Mapping[str, str]], Page]] = {
    view.__name__: view for view in (*_PAGES, plain, raising, streaming, late)
}
