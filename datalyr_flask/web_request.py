"""A Flask request as core sees one."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from flask import Request, current_app, has_request_context
from werkzeug.exceptions import HTTPException


class FlaskRequest:
    """Answer core's questions about a Flask request."""

    __slots__ = ("native",)

    def __init__(self, request: Request) -> None:
        """Bind to a request."""
        self.native = request

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
        """Return the URL; None for a host that the application does not trust."""
        with suppress(HTTPException):
            return self.native.url
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
        if flask_login is None or not has_request_context():
            return None
        if not hasattr(current_app, "login_manager"):  # imported, but not set up here
            return None
        user = flask_login.current_user
        return user.get_id() if user and user.is_authenticated else None
