"""The site in Flask, with flask-login."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from flask import Flask, Request, Response, request, stream_with_context
from flask_login import LoginManager, UserMixin

from datalyr_flask import FlaskDatalyr
from tests.behaviour.sites.driving import USER_HEADER, arun, logged_in, run, slowly
from tests.behaviour.views import Page

OLDER = tuple(map(int, version("flask").split(".")[:3])) < (3, 1, 2)


class User(UserMixin):
    def __init__(self, key: str) -> None:
        self.id = key


def make_app(**options: Any) -> Flask:
    app = Flask(__name__)
    FlaskDatalyr(app, **options)
    login_manager = LoginManager(app)

    @login_manager.request_loader
    def load_user(request: Request) -> User | None:
        key = logged_in(request.headers.get(USER_HEADER))
        return User(key) if key else None

    @app.get("/sync/<view>")
    def sync_view(view: str) -> Response:
        return _response(run(view, request.datalyr, request.args))

    async def async_view(view: str) -> Response:
        return _response(await arun(view, request.datalyr, request.args))

    def older_async_view(view: str) -> Response:
        # A stream that keeps the context cannot begin in an async view of these: it begins
        # outside of what Flask makes of one.
        return _response(app.ensure_sync(arun)(view, request.datalyr, request.args))

    app.add_url_rule("/async/<view>", view_func=older_async_view if OLDER else async_view)
    return app


def _response(page: Page) -> Response:
    body = stream_with_context(slowly(page.chunks)) if page.chunks else page.body
    response = Response(body, page.status)
    response.headers.update(page.headers)
    return response
