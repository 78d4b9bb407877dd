"""The extension: a client per application, a tracker per request."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Unpack

from flask import Flask, Request, Response

import datalyr_core
from datalyr_core.context import add_finder
from datalyr_core.errors import ConfigurationError
from datalyr_flask.request import (
    NAME,
    begin,
    find_tracker,
    is_allowed,
    release,
    tracker_of,
)
from datalyr_flask.settings import make_client
from datalyr_flask.templating import browser_sdk

if TYPE_CHECKING:
    import datalyr_core.option_types


class FlaskDatalyr:
    """Mount Datalyr on Flask applications.

    The application's own request context is what makes a tracker the current one, so it
    is there wherever Flask's `request` is: in views, in `stream_with_context`, in
    `copy_current_request_context`, in `test_request_context`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        client: datalyr_core.Datalyr | None = None,
        **options: Unpack[datalyr_core.option_types.AllOptions],
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
        client = self._client or make_client(app, self._options)
        app.extensions[NAME] = client
        # Before all `before_request` functions, which cost more to call and may track.
        app.url_value_preprocessors.setdefault(None, []).insert(0, partial(begin, app))
        if client.config.set_visitor_cookie:
            # Flask calls them in reverse: it has to see what all others made of the response.
            app.after_request_funcs.setdefault(None, []).insert(0, _add_cookie)
        # In reverse too: whatever is there may track in the end.
        app.teardown_request_funcs.setdefault(None, []).insert(0, release)
        app.jinja_env.globals["datalyr_browser_sdk"] = browser_sdk(client, is_allowed)
        # Flask has no place for request attributes of extensions; its class is one.
        Request.datalyr = property(tracker_of)  # type: ignore[attr-defined]  # it is new
        add_finder(find_tracker)


def _add_cookie(response: Response) -> Response:
    """Give a new visitor the cookie."""
    tracker = find_tracker()
    if tracker is not None:
        headers = response.headers

        def header(name: str) -> str | None:
            return ", ".join(headers.getlist(name)) if name in headers else None

        for name, value in tracker.cookie_headers(response.status_code, header):
            headers.add(name, value)
    return response
