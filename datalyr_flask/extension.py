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
_EXCLUDED = "datalyr.excluded"  # beside it: whether the option `exclude` names the request


class _NotMounted(RuntimeError, AttributeError):
    """Tell that an application has no Datalyr, so that its requests have no such attribute."""


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
            # Flask calls them in reverse: it has to see what all others made of the response.
            app.after_request_funcs.setdefault(None, []).insert(0, _add_cookie)
        app.jinja_env.globals["datalyr_browser_sdk"] = _browser_sdk
        # Flask has no place for request attributes of extensions; its class is one.
        Request.datalyr = property(_tracker_of)  # type: ignore[attr-defined]  # it is new
        add_finder(_find_tracker)


def _tracker_of(request: Request) -> Tracker:
    """Return a request's tracker, and make it if nobody has yet."""
    tracker: Tracker | None = request.environ.get(_TRACKER)
    return _make_tracker(request) if tracker is None else tracker


def _make_tracker(request: Request) -> Tracker:
    client: Datalyr | None = current_app.extensions.get(NAME)
    if client is None:
        raise _NotMounted(
            "Datalyr is not mounted on this application: call FlaskDatalyr(app) or "
            "init_app(app) to access request.datalyr"
        )
    web_request = FlaskRequest(request)
    tracker: Tracker = request.environ.setdefault(_TRACKER, client.tracker(web_request))
    request.environ[_EXCLUDED] = False  # while the callable is asked, which may track
    request.environ[_EXCLUDED] = client.excludes(web_request)
    return tracker


def _current_request() -> Request:
    return cast(Request, request._get_current_object())  # type: ignore[attr-defined]  # of the proxy


def _begin() -> None:
    """Make the tracker, so that it also works where no context is left, as in a generator."""
    _tracker_of(_current_request())


def _find_tracker() -> Tracker | None:
    """Find the current tracker in Flask's own request context."""
    if not has_request_context():
        return None
    current = _current_request()
    if _TRACKER not in current.environ and NAME not in current_app.extensions:
        return None
    tracker = _tracker_of(current)
    return None if current.environ.get(_EXCLUDED) else tracker


def _add_cookie(response: Response) -> Response:
    """Give a new visitor the cookie."""
    tracker = _find_tracker()
    if tracker is not None:
        headers = response.headers

        def header(name: str) -> str | None:
            return ", ".join(headers.getlist(name)) if name in headers else None

        for name, value in tracker.cookie_headers(response.status_code, header):
            headers.add(name, value)
    return response


def _browser_sdk(nonce: str | None = None) -> Markup:
    """Write the browser SDK's script tag, for a template."""
    client: Datalyr = current_app.extensions[NAME]
    allowed = not has_request_context() or current_datalyr.allowed
    return Markup(script_tag(client.config.workspace_id, nonce=nonce, allowed=allowed))  # noqa: S704 - script_tag escapes


current_datalyr: Tracker = cast(Tracker, LocalProxy(lambda: _tracker_of(request)))
"""The tracker of the request that is being served, as `request.datalyr`."""
