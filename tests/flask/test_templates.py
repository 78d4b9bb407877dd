"""`{{ datalyr_browser_sdk() }}`: consent, the page's nonce, and values that mean harm."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, Response, g, render_template_string, request, stream_template_string
from flask_talisman import Talisman
from jinja2 import DictLoader, StrictUndefined
from markupsafe import Markup

from datalyr_core import current_tracker
from datalyr_core.testing import recording_client
from datalyr_flask import FlaskDatalyr
from tests.flask.conftest import MakeApp

TEMPLATE = "{{ datalyr_browser_sdk() }}"
TAG = '<script defer src="https://track.datalyr.com/dl.js" data-workspace-id="ws_1"'
PLAIN = f"{TAG}></script>"
OPTED_OUT = {"Cookie": "__dl_opt_out=true"}


def with_nonce(nonce: str) -> str:
    return f'{TAG} nonce="{nonce}"></script>'


@pytest.fixture
def shop(make_app: MakeApp) -> Flask:
    app = make_app(workspace_id="ws_1")
    app.add_url_rule("/", view_func=lambda: render_template_string(TEMPLATE))
    return app


def page_of(app: Flask, headers: dict[str, str] | None = None) -> str:
    response = app.test_client(use_cookies=False).get("/", headers=headers)
    assert response.status_code == 200
    return response.text


def test_argument(make_app: MakeApp) -> None:
    app = make_app(workspace_id="ws_1")
    template = "{{ datalyr_browser_sdk(nonce=nonce) }} {{ datalyr_browser_sdk(nonce) }}"
    app.add_url_rule("/", view_func=lambda: render_template_string(template, nonce="n1"))
    assert page_of(app) == f"{with_nonce('n1')} {with_nonce('n1')}"


@pytest.mark.parametrize("first", [True, False])
def test_nonce_of_talisman(first: bool) -> None:
    """The nonce in the page is the one in the header, and another one in the next response."""
    app = Flask(__name__)
    app.add_url_rule("/", view_func=lambda: render_template_string(TEMPLATE))
    mounts = [mount, add_talisman]
    for each in mounts if first else mounts[::-1]:
        each(app)
    nonces = set()
    for _ in range(2):
        response = app.test_client().get("/")
        told = response.headers["Content-Security-Policy"].partition("'nonce-")[2].rstrip("'")
        assert response.text == with_nonce(told)
        nonces.add(told)
    assert len(nonces) == 2
    app.extensions["datalyr"].close()


def mount(app: Flask) -> None:
    FlaskDatalyr(app, recording_client(workspace_id="ws_1"))


def add_talisman(app: Flask) -> None:
    Talisman(
        app,
        force_https=False,
        content_security_policy={"script-src": "https://track.datalyr.com"},
        content_security_policy_nonce_in=["script-src"],
    )


def test_talisman_without_nonces(shop: Flask) -> None:
    Talisman(shop, force_https=False)
    assert page_of(shop) == PLAIN
    with shop.app_context():  # where Talisman's function raises
        assert render_template_string(TEMPLATE) == PLAIN


def set_in_g() -> None:
    g.csp_nonce = "n1"


@pytest.mark.parametrize(
    "provide",
    [
        lambda app: app.before_request(set_in_g),
        lambda app: app.context_processor(lambda: {"csp_nonce": "n1"}),
        lambda app: app.context_processor(lambda: {"csp_nonce": lambda: "n1"}),
    ],
)
def test_places_of_a_nonce(shop: Flask, provide: Callable[[Flask], Any]) -> None:
    provide(shop)
    assert page_of(shop) == with_nonce("n1")


def test_function_that_raises_is_no_nonce(shop: Flask) -> None:
    shop.context_processor(lambda: {"csp_nonce": lambda: {}["absent"]})
    assert page_of(shop) == PLAIN


def test_undefined_variable_is_no_nonce(make_app: MakeApp) -> None:
    app = make_app(workspace_id="ws_1")
    app.jinja_env.undefined = StrictUndefined
    app.add_url_rule("/", view_func=lambda: render_template_string("{{datalyr_browser_sdk(n)}}"))
    assert page_of(app) == PLAIN


def test_function_is_not_asked_where_no_tag_is_written(make_app: MakeApp) -> None:
    asked: list[str] = []

    def nonce() -> str:
        asked.append(request.path)
        return "n1"

    for options in ({"workspace_id": "ws_1"}, {}):
        app = make_app(**options)
        app.context_processor(lambda: {"csp_nonce": nonce})
        app.add_url_rule("/", view_func=lambda: render_template_string(TEMPLATE))
        assert page_of(app, OPTED_OUT) == ""
    assert asked == []


@pytest.mark.parametrize("headers", [OPTED_OUT, {"Sec-GPC": "1"}])
def test_nothing_for_a_visitor_who_is_not_tracked(shop: Flask, headers: dict[str, str]) -> None:
    assert page_of(shop, headers) == ""
    assert page_of(shop) == PLAIN


def test_nothing_for_them_where_a_path_is_excluded(make_app: MakeApp) -> None:
    app = make_app(workspace_id="ws_1", exclude=["/"])

    @app.get("/")
    def page() -> str:
        assert current_tracker() is None
        return render_template_string(TEMPLATE)

    assert page_of(app, OPTED_OUT) == ""
    assert page_of(app) == PLAIN


def test_visitors_at_once(shop: Flask) -> None:
    """Each page is that of its own visitor."""
    together = threading.Barrier(8)

    @shop.get("/together")
    def page() -> str:
        together.wait(20)
        return render_template_string(TEMPLATE)

    told: dict[int, str] = {}

    def visit(number: int) -> None:
        headers = OPTED_OUT if number % 2 else {}
        browser = shop.test_client(use_cookies=False)
        told[number] = browser.get("/together", headers=headers).text

    threads = [threading.Thread(target=visit, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert told == {number: "" if number % 2 else PLAIN for number in range(8)}


def test_hostile_values_are_escaped(make_app: MakeApp) -> None:
    app = make_app(workspace_id="\"><script>alert('1')</script>&")
    template = "{{ datalyr_browser_sdk(nonce) }}"
    for nonce in ('" onload="x', Markup('" onload="x')):
        with app.test_request_context("/"):
            told = render_template_string(template, nonce=nonce)
        assert told.count("<script") == told.count("</script>") == 1
        assert 'data-workspace-id="&quot;&gt;&lt;script&gt;alert(&#x27;1&#x27;)' in told
        assert 'nonce="&quot; onload=&quot;x"' in told


def test_macro_that_is_imported_without_context(shop: Flask) -> None:
    shop.jinja_loader = DictLoader(  # type: ignore[assignment]  # any loader does
        {
            "macros.html": f"{{% macro head() %}}{TEMPLATE}{{% endmacro %}}",
            "page.html": "{% from 'macros.html' import head %}{{ head() }}",
        }
    )
    shop.add_url_rule(
        "/m", "other", view_func=lambda: shop.jinja_env.get_template("page.html").render()
    )
    browser = shop.test_client(use_cookies=False)
    assert browser.get("/m").text == PLAIN
    assert browser.get("/m", headers=OPTED_OUT).text == ""


def test_page_that_is_streamed(shop: Flask) -> None:
    shop.add_url_rule("/s", "other", view_func=lambda: Response(stream_template_string(TEMPLATE)))
    browser = shop.test_client(use_cookies=False)
    assert browser.get("/s").text == PLAIN
    assert browser.get("/s", headers=OPTED_OUT).text == ""


def test_page_without_a_request(shop: Flask) -> None:
    """The browser SDK itself asks a visitor's browser for consent, wherever the page goes."""
    assert shop.jinja_env.from_string(TEMPLATE).render() == PLAIN
    with shop.app_context():
        assert render_template_string(TEMPLATE) == PLAIN


def test_template_in_another_applications_request(shop: Flask) -> None:
    with Flask("other").test_request_context("/", headers=OPTED_OUT):
        assert shop.jinja_env.from_string(TEMPLATE).render() == PLAIN


def test_page_of_an_error(shop: Flask) -> None:
    shop.register_error_handler(500, lambda error: render_template_string(TEMPLATE))
    shop.add_url_rule("/broken", "other", view_func=lambda: str({}["absent"]))
    browser = shop.test_client(use_cookies=False)
    assert browser.get("/broken").text == PLAIN
    assert browser.get("/broken", headers=OPTED_OUT).text == ""
