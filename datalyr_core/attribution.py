"""Where a visitor came from: campaign parameters and click ids, and URLs without secrets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit, urlunsplit

from datalyr_core.web_request import WebRequest

_UTM = "utm_source utm_medium utm_campaign utm_term utm_content utm_id"
_CLICK_IDS = (
    "fbclid gclid gbraid wbraid ttclid oppref msclkid twclid li_fat_id sclid dclid epik "
    "rdt_cid obclid irclid ko_click_id"
)
_OTHERS = "lyr ref source campaign medium gad_source dl_ksource dl_kmessage_id"
_NAMES = {name: name for name in f"{_UTM} {_CLICK_IDS} {_OTHERS}".split()}
# How advertisers really spell them.
_NAMES |= {"ScCid": "sclid", "sccid": "sclid", "irclickid": "irclid"}

MAX_URL = 4096  # characters; longer ones are cut
MAX_PARAMETERS = 200  # of one query; a client may send any number

REDACTED = "redacted"
_SECRET_NAME = re.compile(
    r"token|secret|passw|pwd|passphrase|api_?-?key|credential|signature|session|jwt|e_?-?mail|phone"
    r"|(?<![a-z])(?:auth|card|code|cvv|key|oauth|otp|pin|sid|sig|ssn)(?![a-z])",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[^\s@/]+@[^\s@/]+\.[^\s@/]+")


def attribution(query: str) -> dict[str, str]:
    """Pick the parameters of a query that tell where the visit came from.

    Args:
        query: The query string, percent-encoded.

    Returns:
        The parameters under their usual names; of one given twice, the first. Values that
        hold an e-mail address are left out.
    """
    found: dict[str, str] = {}
    for key, value in parse_qsl("&".join(query[:MAX_URL].split("&")[:MAX_PARAMETERS])):
        name = _NAMES.get(key)
        if name and not _EMAIL.search(value):
            found.setdefault(name, value)
    return found


def redacted(url: str | None) -> str | None:
    """Remove from a URL what should not reach an analytics service.

    Args:
        url: A URL, absolute or not, or None.

    Returns:
        The URL without user name, password and fragment; the values of parameters that
        are named like a secret or hold an e-mail address are replaced, and so are
        e-mail addresses in the path. None for what is no URL.
    """
    if not url:
        return None
    try:
        scheme, host, path, query, _ = urlsplit(url[:MAX_URL])
    except ValueError:
        return None
    return urlunsplit((scheme, host.rpartition("@")[2], _clean_path(path), _clean_query(query), ""))


def _clean_path(path: str) -> str:
    return "/".join(
        REDACTED if _EMAIL.search(unquote_plus(part)) else part for part in path.split("/")
    )


def _clean_query(query: str) -> str:
    return "&".join(_clean_pair(pair) for pair in query.split("&")[:MAX_PARAMETERS])


def _clean_pair(pair: str) -> str:
    name, separator, value = pair.partition("=")
    if _EMAIL.search(unquote_plus(name)):
        return REDACTED
    if separator and (
        _SECRET_NAME.search(unquote_plus(name)) or _EMAIL.search(unquote_plus(value))
    ):
        return f"{name}={REDACTED}"
    return pair


def page_properties(request: WebRequest) -> dict[str, Any]:
    """Tell which page a request is for and where the visit came from."""
    facts = request_properties(request, ("url", "path", "referrer"))
    return facts | attribution(request.query())


def request_properties(request: WebRequest, wanted: Iterable[str]) -> dict[str, Any]:
    """Tell the wanted facts of a request that can be told.

    Args:
        request: The request.
        wanted: Names out of `REQUEST_FACTS`.

    Returns:
        The facts by name, URLs without secrets.
    """
    told = ((name, REQUEST_FACTS[name](request)) for name in wanted)
    return {name: fact for name, fact in told if fact is not None}


REQUEST_FACTS: dict[str, Callable[[WebRequest], str | None]] = {
    "url": lambda request: redacted(request.url()),
    "path": lambda request: _clean_path(request.path()[:MAX_URL]) or None,
    "referrer": lambda request: redacted(request.header("referer")),
    "user_agent": lambda request: request.header("user-agent"),
    "ip": lambda request: request.ip(),
}
