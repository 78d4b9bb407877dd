"""The extension: a client per application, a tracker per request."""

from __future__ import annotations

from typing import Any, cast

from flask import Flask, Request, Response, current_app, has_request_context, request
from markupsafe import Markup
from werkzeug.local import LocalProxy

from datalyr_core import ConfigurationError, Datalyr, Tracker
from datalyr_core.browser_sdk import script_tag
from datalyr_core.context import add_finder
from datalyr_flask.settings import read_config
from datalyr_flask.web_request import FlaskRequest

NAME = "datalyr"
_TRACKER = "datalyr.tracker"  # in the WSGI environ: one request, one tracker


class FlaskDatalyr:
    """Mount Datalyr on Flask applications.

    The application's own request context is what makes a tracker the current one, so it
    is there wherever Flask's `request` is: in views, in `stream_with_context`, in
    `copy_current_request_context`, in `test_request_context`.
    """

    def __init__(
        self, app: Flask | None = None, client: Datalyr | None = None, **options: Any
    ) -> None:
        """Mount on an application, or on none yet.

        Args:
            app: The application; `init_app` takes it later in a factory.
            client: A client made elsewhere, or None to make one for each application.
            **options: The options of `Config`, which win over `app.config`.
        """
        if client is not None and options:
            raise ConfigurationError(
                f"FlaskDatalyr got a client and also {', '.join(options)}; give these to the client"
            )
        self._client = client
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Mount on an application; its client is `app.extensions["datalyr"]`.

        Raises:
            ConfigurationError: Something is wrong with `DATALYR_…`, or the application
                has Datalyr already.
        """
        if NAME in app.extensions:
            raise ConfigurationError(
                f"Datalyr is mounted on {app.name!r} already; "
                "call FlaskDatalyr(app) or init_app(app) once for each application"
            )
        client = self._client or Datalyr(read_config(app, self._options))
        app.extensions[NAME] = client
        app.before_request_funcs.setdefault(None, []).insert(0, _begin)
        if client.config.set_visitor_cookie:
            app.after_request(_add_cookie)
        app.jinja_env.globals["datalyr_browser_sdk"] = _browser_sdk
        # Flask has no place for request attributes of extensions; its class is one.
        Request.datalyr = property(_tracker_of)  # type: ignore[attr-defined]  # it is new
        add_finder(_find_tracker)


def _tracker_of(request: Request) -> Tracker:
    """Return a request's tracker, and make it if nobody has yet."""
    tracker: Tracker | None = request.environ.get(_TRACKER)
    if tracker is None:
        client: Datalyr | None = current_app.extensions.get(NAME)
        if client is None:
            raise RuntimeError(
                "Datalyr is not mounted on this application: call FlaskDatalyr(app) or "
                "init_app(app) to access request.datalyr"
            )
        tracker = request.environ.setdefault(_TRACKER, client.tracker(FlaskRequest(request)))
    return tracker


def _begin() -> None:
    """Make the tracker, so that it also works where no context is left, as in a generator."""
    _tracker_of(request._get_current_object())  # type: ignore[attr-defined]  # of the proxy


def _find_tracker() -> Tracker | None:
    """Find the current tracker in Flask's own request context."""
    if not has_request_context() or NAME not in current_app.extensions:
        return None
    client: Datalyr = current_app.extensions[NAME]
    current = cast(Request, request._get_current_object())  # type: ignore[attr-defined]  # of the proxy
    return None if client.excludes(FlaskRequest(current)) else _tracker_of(current)


def _add_cookie(response: Response) -> Response:
    """Give a new visitor the cookie."""
    current = cast(Request, request._get_current_object())  # type: ignore[attr-defined]  # of the proxy
    client: Datalyr = current_app.extensions[NAME]
    if not client.excludes(FlaskRequest(current)):
        added = _tracker_of(current).cookie_headers(response.status_code, response.headers.get)
        response.headers.extend(added)
    return response


def _browser_sdk(nonce: str | None = None) -> Markup:
    """Write the browser SDK's script tag, for a template."""
    client: Datalyr = current_app.extensions[NAME]
    allowed = not has_request_context() or current_datalyr.allowed
    return Markup(script_tag(client.config.workspace_id, nonce=nonce, allowed=allowed))  # noqa: S704 - script_tag escapes


current_datalyr: Tracker = cast(Tracker, LocalProxy(lambda: _tracker_of(request)))
"""The tracker of the request that is being served, as `request.datalyr`."""
