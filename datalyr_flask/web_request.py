"""A Flask request as core sees one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from flask import (
    Request,
    copy_current_request_context,
    current_app,
    g,
    has_request_context,
    request,
)
from werkzeug.exceptions import HTTPException

from datalyr_core.web_request import absolute_url

_UNASKED: Any = object()


class FlaskRequest:
    """Answer core's questions about a Flask request."""

    __slots__ = ("_answer", "_context", "native")

    def __init__(self, native: Request, *, served: bool) -> None:
        """Bind to a request.

        Args:
            native: The request.
            served: Whether it is the one that Flask serves here.
        """
        self.native = native
        # For who asks elsewhere, as in a thread, or later, as in a plain generator. A request
        # that is not served here has none, so that nobody takes the other's user for its own.
        self._context = copy_context() if served else Context()
        self._answer: Any = _UNASKED

    def header(self, name: str) -> str | None:
        """Return a header."""
        value: str | None = self.native.environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        return value

    def path(self) -> str:
        """Return the path, below wherever the application is mounted."""
        return f"{self.native.root_path.rstrip('/')}{self.native.path}"

    def query(self) -> str:
        """Return the query string."""
        return self.native.query_string.decode("latin-1")

    def url(self) -> str | None:
        """Return the URL; None for a host that is none or that the application does not trust."""
        with suppress(HTTPException):
            host = self.native.host
            if host:
                return absolute_url(self.native.scheme, host, self.path(), self.query())
        return None

    def secure(self) -> bool:
        """Tell whether the visitor sees the page over https."""
        return self.native.is_secure

    def ip(self) -> str | None:
        """Return the peer's address, or what ProxyFix made of it; a Unix socket's peer has none."""
        return self.native.remote_addr or None

    def user_id(self) -> Any:
        """Return the id of flask-login's `current_user`, which is Flask-Security's too."""
        return self.ask(_logged_in) if "flask_login" in sys.modules else None

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask a function of the application, to which Flask's proxies mean this request."""
        if is_current(self.native):
            return question(self.native)
        if self._answer is _UNASKED:  # asked once, since it costs a context
            # A copy, since two threads may ask and a context can be entered only once.
            self._answer = self._context.copy().run(_ask_elsewhere, question, self.native)
        return self._answer


def is_current(native: Request) -> bool:
    """Tell whether this is the request that Flask serves here, and not another."""
    return has_request_context() and request.environ is native.environ


def _logged_in(native: Request) -> Any:
    """Return the id of flask-login's user of the current request."""
    if not has_request_context() or not hasattr(current_app, "login_manager"):
        return None  # flask-login is imported, but not set up here
    flask_login = sys.modules["flask_login"]
    # The user and not the proxy, which takes a loader's RuntimeError for no user.
    return _id_of(flask_login.current_user._get_current_object())


def _id_of(user: Any) -> Any:
    if user is None or not user.is_authenticated:
        return None
    # Flask-Security's get_id() is a value that each change of the password replaces.
    return user.id if hasattr(user, "fs_uniquifier") else user.get_id()


def _ask_elsewhere(question: Callable[[Any], Any], native: Request) -> Any:
    """Ask where the request's context is not the thread's own, and may be over.

    The question gets an application context of its own, so that a database session that it
    opens is not the view's and is closed by the application's teardown functions.
    """
    if not has_request_context():
        return question(native)
    known = {name: g.get(name) for name in list(g)}
    if question is _logged_in and "_login_user" in known:
        user = known.pop("_login_user")
        with suppress(Exception):  # raised for a user of a closed database session, say
            return _id_of(user)
    ask = partial(_ask_knowing, known, question)
    with current_app.app_context():
        if has_request_context():
            return ask(native)
    # Since Flask 3.2 an application's context and a request's are one.
    return copy_current_request_context(ask)(native)


def _ask_knowing(known: dict[str, Any], question: Callable[[Any], Any], native: Request) -> Any:
    """Ask with what the request has in `g`, but leave nothing of it to teardown functions."""
    for name, value in known.items():
        setattr(g, name, value)
    try:
        return question(native)
    finally:
        for name in known:
            g.pop(name, None)
