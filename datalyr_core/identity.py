"""Who a visitor is: fresh ids, and the id that a browser sent.

The rules are those of the browser SDK, which writes the cookie: of two cookies of one name
the first counts, and values are percent-encoded. Frameworks disagree on both, so the raw
header is read here, the same way for all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

VISITOR_COOKIE = "__dl_visitor_id"
COOKIE_MAX_AGE = 31_536_000  # a year, in seconds

_BLANKS = " \t"  # all that RFC 6265 takes away; str.strip() would also take control characters
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,256}\Z")
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
# The same numbers, but `os.urandom` gives the interpreter to another thread for each, and threads
# that track at once would wait for one another.
_draw: Callable[[int], bytes] = getattr(os, "getrandom", os.urandom)
_PERCENT_ENCODED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def new_id() -> str:
    """Make a random UUID (version 4, RFC 9562).

    It asks the operating system each time: a pool of random numbers would be the same in
    two processes after a fork, and so would the ids of two visitors.
    """
    try:
        drawn = _draw(16).hex("-", 6)  # 8, 12 and 12 digits, so that two of four hyphens are there
    except OSError:  # a system, or a sandbox, without that call
        drawn = os.urandom(16).hex("-", 6)
    # Two of its digits tell what it is: the version, and the variant in two bits.
    return f"{drawn[:13]}-4{drawn[14:17]}-{_VARIANT[drawn[17]]}{drawn[18:]}"


def new_anonymous_id() -> str:
    """Make a fresh anonymous id, in the form that the browser SDK gives one."""
    return f"anon_{new_id()}"


def usable_id(value: str | None) -> str | None:
    """Return an id that a client sent, or None unless it is 1 to 256 visible ASCII characters."""
    return value if value is not None and _VISIBLE_ASCII.match(value) else None


def read_cookie(header: str | None, name: str) -> str | None:
    """Find a cookie in a raw `Cookie` header.

    Args:
        header: The header's value; several header lines are joined with "; ".
        name: The cookie's name, as it stands in the header.

    Returns:
        The first value under that name, percent-decoded, or None.
    """
    if not header or name not in header:  # most requests: no need to split anything
        return None
    for pair in header.split(";"):
        key, separator, value = pair.partition("=")
        if separator and key.strip(_BLANKS) == name:
            return percent_decoded(value.strip(_BLANKS))
    return None


def percent_decoded(value: str) -> str:
    """Decode each percent-encoded run that is UTF-8; leave a malformed one as it stands."""
    return _PERCENT_ENCODED.sub(_decoded_run, value) if "%" in value else value


def _decoded_run(run: re.Match[str]) -> str:
    try:
        return unquote_to_bytes(run[0]).decode()
    except UnicodeDecodeError:
        return run[0]


def visitor_cookie(name: str, anonymous_id: str, *, domain: str | None, secure: bool) -> str:
    """Write the `Set-Cookie` value that the browser SDK would write.

    Args:
        name: The cookie's name.
        anonymous_id: The visitor's id.
        domain: The site's root domain, or None for the host alone.
        secure: Whether the page came over https.

    Returns:
        The header's value; without `HttpOnly`, since the browser SDK reads the cookie.
    """
    parts = [f"{name}={quote(anonymous_id, safe='')}", "Path=/", f"Max-Age={COOKIE_MAX_AGE}"]
    parts.append("SameSite=Lax")
    if domain:
        parts.append(f"Domain={domain}")
    if secure:
        parts.append("Secure")
    return "; ".join(parts)
