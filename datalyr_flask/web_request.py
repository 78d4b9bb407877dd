"""A Flask request as core sees one."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from flask import Request, current_app, g, has_request_context, request
from werkzeug.exceptions import HTTPException

from datalyr_core.web_request import absolute_url


class FlaskRequest:
    """Answer core's questions about a Flask request."""

    __slots__ = ("_g", "native")

    def __init__(self, native: Request) -> None:
        """Bind to a request."""
        self.native = native
        # What is known of the request when its context is gone, as in a plain generator.
        self._g = g._get_current_object() if self._is_current() else None

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
        """Return the peer's address, or what ProxyFix made of it."""
        return self.native.remote_addr

    def user_id(self) -> Any:
        """Return the id of flask-login's `current_user`, if there is one."""
        flask_login: Any = sys.modules.get("flask_login")
        if flask_login is None:
            return None
        if not self._is_current():  # then it counts whom flask-login had found by the end
            user = self._g.get("_login_user") if self._g is not None else None
        elif hasattr(current_app, "login_manager"):
            # The user and not the proxy, which takes a loader's RuntimeError for no user.
            user = flask_login.current_user._get_current_object()
        else:  # imported, but not set up here
            user = None
        return user.get_id() if user is not None and user.is_authenticated else None

    def _is_current(self) -> bool:
        """Tell whether this is the request that Flask serves here, and not another."""
        return has_request_context() and request.environ is self.native.environ
