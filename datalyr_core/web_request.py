"""What a plugin tells core of a request: the only shape in which a framework is seen here."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from inspect import iscoroutine
from typing import Any, Protocol
from urllib.parse import quote

logger = logging.getLogger("datalyr")


class _Pending:
    """The type of `PENDING`."""

    def __repr__(self) -> str:
        return "PENDING"


PENDING = _Pending()
"""The user is not known yet and finding out needs an await; the plugin's tail will settle it."""


class WebRequest(Protocol):
    """Answer core's questions about one request, each only when it is asked.

    Nothing here may read the body, check the host, query a database or raise for what a
    client sent; what cannot be told is None.
    """

    @property
    def native(self) -> object:
        """The framework's own request, which is handed to an application's callables."""

    def header(self, name: str) -> str | None:
        """Return a header by its lower-case name; cookie lines are joined with "; "."""

    def path(self) -> str:
        """Return the path, without the query."""

    def query(self) -> str:
        """Return the query string, without the question mark, still percent-encoded."""

    def url(self) -> str | None:
        """Return the absolute URL, or None where it cannot be built."""

    def secure(self) -> bool:
        """Tell whether the visitor sees the page over https."""

    def ip(self) -> str | None:
        """Return the peer's address as the framework's own proxy handling gives it."""

    def user_id(self) -> object:
        """Return the authenticated user's id, None, or `PENDING`."""

    def ask(self, question: Callable[[Any], Any]) -> object:
        """Ask a function of the application, which takes the framework's own request.

        Returns:
            Its answer, or `PENDING`.
        """


def absolute_url(scheme: str, host: str, path: str, query: str) -> str:
    """Build a URL as a browser writes it: percent-encoded, so that one page is one URL.

    Args:
        scheme: The scheme.
        host: The host, with a port if it needs one; checked by the caller.
        path: The path, decoded.
        query: The query string, still percent-encoded.
    """
    encoded = quote(path, safe="/:@!$&'()*+,;=~-._", errors="replace")
    return f"{scheme}://{host}{encoded}{'?' if query else ''}{query}"


def plain(answer: object) -> object:
    """Refuse an application's answer that only an await could tell.

    Raises:
        TypeError: It is one; left as it is, it would be true, and an id.
    """
    if not isinstance(answer, Awaitable):
        return answer
    if iscoroutine(answer):
        answer.close()  # or Python would warn that nobody has awaited it
    raise TypeError("the function's answer has to be awaited; give a plain function")


def excluded(request: WebRequest, exclude: Sequence[str] | Callable[[Any], Any]) -> bool:
    """Tell whether a request is none of the plugin's business.

    Args:
        request: The request.
        exclude: Paths, each meaning itself and all below it, or a callable on the
            framework's own request.

    Returns:
        True when it is excluded; a callable that raises excludes nothing.
    """
    if callable(exclude):
        try:
            return bool(plain(exclude(request.native)))
        except Exception:
            logger.exception("exclude raised; the request is not excluded")
            return False
    path = request.path()
    return any(path == each or path.startswith(f"{each.rstrip('/')}/") for each in exclude)
