"""Whether a response may carry a new visitor's cookie. Pure.

A response that a shared cache keeps would hand one visitor's id to everyone who is served
from that cache, which is worse than a visitor without an id.
"""

from __future__ import annotations

from collections.abc import Callable

Header = Callable[[str], str | None]

_NOT_MODIFIED = 304  # updates what a cache already has
_CDN_HEADERS = ("cdn-cache-control", "surrogate-control", "cloudflare-cdn-cache-control")


def may_set_cookie(status: int, header: Header, *, used: bool) -> bool:
    """Tell whether a response may set the visitor cookie.

    Args:
        status: The response's status.
        header: Returns a header of the response by its lower-case name, or None.
        used: Whether the view used the tracker.

    Returns:
        True for HTML pages and wherever the tracker was used, unless a shared cache may
        keep the response (RFC 9111, section 3).
    """
    if status == _NOT_MODIFIED or not (used or _is_html(header)):
        return False
    if any(header(name) is not None for name in _CDN_HEADERS):
        return False
    cache_control = header("cache-control")
    if cache_control is None:
        return header("expires") is None  # then the application wants it kept
    directives = {part.strip().lower() for part in cache_control.split(",")}
    return bool(directives & {"private", "no-store"}) and "public" not in directives


def sets_cookie(header: Header, name: str) -> bool:
    """Tell whether the application sets a cookie itself; then its own word counts.

    Args:
        header: Returns a header of the response; of several lines, all with commas between.
        name: The cookie's name.
    """
    lines = (header("set-cookie") or "").split(",")
    return any(line.strip().startswith(f"{name}=") for line in lines)


def _is_html(header: Header) -> bool:
    content_type = (header("content-type") or "").partition(";")[0].strip().lower()
    return content_type in ("text/html", "application/xhtml+xml")
