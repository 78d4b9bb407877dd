"""`request.datalyr`: how a request of Flask's and its tracker know each other."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, cast

from flask import Flask, Request, current_app, has_request_context, request
from werkzeug.local import LocalProxy

from datalyr_flask.web_request import FlaskRequest, is_current

if TYPE_CHECKING:
    from datalyr_core import Datalyr, Tracker

NAME = "datalyr"
_KEPT = "datalyr.tracker"  # in the WSGI environ: one request, one tracker


class _NotMounted(RuntimeError, AttributeError):
    """Tell that an application has no Datalyr, so that its requests have no such attribute."""


class _Kept:
    """Keep what a request's environ has of its tracker.

    The tracker keeps the request, so once that is over only what is known of the visitor is
    kept here. Else each request, with its form and its files, would stay in memory until
    Python's collector comes by.
    """

    __slots__ = ("_client", "_facts", "_tracker", "_weak", "is_excluded")

    def __init__(self, tracker: Tracker, client: Datalyr) -> None:
        self._client = client
        self._facts = tracker.facts
        self._tracker: Tracker | None = tracker
        self._weak = weakref.ref(tracker)
        self.is_excluded = False

    def tracker(self, request: Request) -> Tracker:
        """Return the tracker; after the end another one, if nobody has held on to the first."""
        tracker = self._tracker or self._weak()
        if tracker is None:
            tracker = self._client.tracker(
                FlaskRequest(request, served=is_current(request)), facts=self._facts
            )
            self._weak = weakref.ref(tracker)
        if self._tracker is None and is_current(request):
            self._tracker = tracker  # of a stream, or a copy of the context; it ends once more
        return tracker

    def release(self) -> None:
        """Let go of the tracker."""
        self._tracker = None


def current_request() -> Request:
    """Return the request itself that is served here."""
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]  # of the proxy


def tracker_of(request: Request) -> Tracker:
    """Return a request's tracker, and make it if nobody has yet."""
    kept: _Kept | None = request.environ.get(_KEPT)
    return _make_tracker(request) if kept is None else kept.tracker(request)


def begin(app: Flask, endpoint: str | None, values: dict[str, object] | None) -> None:
    """Make the tracker, so that it also works where no context is left, as in a generator.

    Args:
        app: The application.
        endpoint: As Flask tells it of the URL.
        values: As Flask tells them.
    """
    served = current_request()
    if _KEPT not in served.environ:
        _keep(served, app.extensions[NAME], served=True)


def _make_tracker(request: Request) -> Tracker:
    client: Datalyr | None = current_app.extensions.get(NAME)
    if client is None:
        raise _NotMounted(
            "Datalyr is not mounted on this application: call FlaskDatalyr(app) or "
            "init_app(app) to access request.datalyr"
        )
    return _keep(request, client, served=is_current(request)).tracker(request)


def _keep(request: Request, client: Datalyr, *, served: bool) -> _Kept:
    web_request = FlaskRequest(request, served=served)
    made = _Kept(client.tracker(web_request), client)
    kept: _Kept = request.environ.setdefault(_KEPT, made)
    kept.is_excluded = client.excludes(web_request)  # a callable, which may track
    return kept


def find_tracker() -> Tracker | None:
    """Find the current tracker in Flask's own request context."""
    tracker = _tracker_here()
    return None if tracker is None or request.environ[_KEPT].is_excluded else tracker


def is_allowed() -> bool:
    """Tell whether the visitor here may be tracked; also where `exclude` names the request."""
    tracker = _tracker_here()
    return tracker is None or tracker.allowed


def release(error: BaseException | None = None) -> None:
    """Let go of the tracker at a request's end, or at the end of a copy of its context."""
    kept: _Kept | None = current_request().environ.get(_KEPT)
    if kept is not None:
        kept.release()


def _tracker_here() -> Tracker | None:
    if not has_request_context():
        return None
    current = current_request()
    if _KEPT not in current.environ and NAME not in current_app.extensions:
        return None
    return tracker_of(current)


current_datalyr: Tracker = cast("Tracker", LocalProxy(lambda: tracker_of(request)))
"""The tracker of the request that is being served, as `request.datalyr`."""
