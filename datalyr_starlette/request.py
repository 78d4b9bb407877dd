"""`request.datalyr` and `websocket.datalyr`, beside Starlette's `request.session` and `.user`."""

from __future__ import annotations

from starlette.requests import HTTPConnection, Request

import datalyr_core
from datalyr_starlette.web_request import SCOPE_KEY, StarletteRequest


def get_tracker(connection: HTTPConnection) -> datalyr_core.Tracker:
    """Return the tracker of a request or a websocket.

    Raises:
        RuntimeError: The middleware is missing.
    """
    scope = connection.scope
    try:
        tracker: datalyr_core.Tracker = scope[SCOPE_KEY]
    except KeyError:
        raise RuntimeError(
            "DatalyrMiddleware must be installed to access request.datalyr: "
            "app.add_middleware(DatalyrMiddleware, api_key=...)"
        ) from None
    request = tracker.request
    if isinstance(request, StarletteRequest):  # pragma: no branch - or somebody put in another
        request.see(scope)
    return tracker


class DatalyrRequest(Request):
    """Be a request whose `datalyr` type checkers know. For annotations; it adds nothing else."""

    @property
    def datalyr(self) -> datalyr_core.Tracker:
        """Return this request's tracker."""
        return get_tracker(self)


# Starlette's own properties that read the scope live on this class too. Type checkers
# see the attribute on DatalyrRequest.
HTTPConnection.datalyr = property(get_tracker)  # type: ignore[attr-defined]  # it is new
