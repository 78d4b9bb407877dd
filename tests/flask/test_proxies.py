"""Whom a visitor comes from: what Werkzeug makes of a proxy's headers, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.flask.conftest import MakeApp

FORWARDED = {
    "Host": "shop.example",
    "X-Forwarded-For": "203.0.113.1, 198.51.100.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "www.shop.example",
    "X-Forwarded-Prefix": "/shop",
    "X-Real-IP": "203.0.113.1",
    "Forwarded": "for=203.0.113.1;proto=https",
}


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app(request_context=["ip", "url"], set_visitor_cookie=True)
    app.add_url_rule("/", view_func=lambda: str(request.datalyr.track("Seen")))
    return app


def facts(app: Flask, **environ: Any) -> tuple[Any, Any, bool]:
    """Return the address and the URL that an event bears, and whether the cookie is secure."""
    made = EnvironBuilder("/", headers=FORWARDED).get_environ()
    _, status, headers = run_wsgi_app(app, {**made, **environ}, buffered=True)
    assert status == "200 OK"
    seen = app.extensions["datalyr"].events[-1].properties
    return seen.get("ip"), seen.get("url"), "Secure" in headers["Set-Cookie"]


@pytest.mark.parametrize(("peer", "ip"), [("10.0.0.1", "10.0.0.1"), ("", None), (None, None)])
def test_raw_headers_are_not_believed(app: Flask, peer: str | None, ip: str | None) -> None:
    """Without a peer, as behind a Unix socket, the address is not known."""
    environ = {} if peer is None else {"REMOTE_ADDR": peer}
    assert facts(app, **environ) == (ip, "http://shop.example/", False)


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ({"x_for": 1, "x_proto": 0}, ("198.51.100.9", "http://shop.example/", False)),
        ({"x_for": 2}, ("203.0.113.1", "https://shop.example/", True)),
        ({"x_host": 1, "x_prefix": 1}, ("198.51.100.9", "https://www.shop.example/shop/", True)),
        ({"x_for": 3}, ("10.0.0.1", "https://shop.example/", True)),  # there are not so many
    ],
)
def test_proxies_that_the_application_trusts(
    app: Flask, trusted: dict[str, int], expected: tuple[str, str, bool]
) -> None:
    app.wsgi_app = ProxyFix(app.wsgi_app, **trusted)  # type: ignore[method-assign]  # as Flask's documentation has it
    assert facts(app, REMOTE_ADDR="10.0.0.1") == expected


@pytest.mark.parametrize(
    "host", ["shop.example:port", "shop.example:99999999", "[::1", "a b", "a/b", "user@a", ""]
)
def test_host_that_is_none(app: Flask, host: str) -> None:
    """The page is served as Flask would serve it; the event bears a sound URL, or none."""
    _, url, _ = facts(app, HTTP_HOST=host, REMOTE_ADDR="10.0.0.1")
    assert url in (None, f"http://{host}/")
    assert url is None or host == "shop.example:99999999"


def test_non_string_facts_of_a_server(app: Flask) -> None:
    """`SERVER_PORT` is a string by the specification, and an int in some test tools."""
    assert facts(app, SERVER_PORT=8000, REMOTE_ADDR="10.0.0.1")[0] == "10.0.0.1"
