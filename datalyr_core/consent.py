"""Whether a visitor may be tracked: the browser SDK's own rules, read from the request."""

from __future__ import annotations

from datalyr_core.identity import read_cookie
from datalyr_core.web_request import WebRequest

OPT_OUT_COOKIE = "__dl_opt_out"


def tracking_allowed(request: WebRequest, *, opt_out: bool, gpc: bool, dnt: bool) -> bool:
    """Tell whether a request's visitor may be tracked.

    Args:
        request: The request.
        opt_out: Whether to respect the opt-out cookie.
        gpc: Whether to respect Global Privacy Control (https://w3c.github.io/gpc/).
        dnt: Whether to respect Do Not Track.

    Returns:
        False as soon as one respected signal says no.
    """
    if opt_out and read_cookie(request.header("cookie"), OPT_OUT_COOKIE) == "true":
        return False
    if gpc and (request.header("sec-gpc") or "").strip() == "1":
        return False
    return not (dnt and (request.header("dnt") or "").strip() == "1")
