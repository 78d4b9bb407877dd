"""`{{ datalyr_browser_sdk() }}` in the templates of Starlette and FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.templating import Jinja2Templates as FastApiTemplates
from jinja2 import DictLoader, Environment
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.templating import Jinja2Templates
from starlette.testclient import TestClient

from datalyr_core import current_tracker
from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware
from datalyr_starlette.templating import install
from tests.starlette.conftest import MakeRecording

TAG = '<script defer src="https://track.datalyr.com/dl.js" data-workspace-id="ws_1"'
PLAIN = f"{TAG}></script>"
OPTED_OUT = {"Cookie": "__dl_opt_out=true"}
SOURCES = {
    "page.html": "{{ datalyr_browser_sdk() }}",
    "given.html": "{{ datalyr_browser_sdk(nonce) }}",
    "macros.html": "{% macro head() %}{{ datalyr_browser_sdk() }}{% endmacro %}",
    "imported.html": "{% from 'macros.html' import head %}{{ head() }}",
}


def environment() -> Environment:
    return Environment(loader=DictLoader(SOURCES), autoescape=True)


def with_nonce(nonce: str) -> str:
    return f'{TAG} nonce="{nonce}"></script>'


@pytest.fixture
def client(make_recording: MakeRecording) -> RecordingClient:
    return make_recording(workspace_id="ws_1")


@pytest.fixture(params=[(Starlette, Jinja2Templates), (FastAPI, FastApiTemplates)])
def shop(request: pytest.FixtureRequest, client: RecordingClient) -> Any:
    """An application that shows the template that its path names, with `?x=y` as variables."""
    kind, kind_of_templates = request.param
    templates = install(kind_of_templates(env=environment()))

    async def show(request: Request) -> Response:
        name = f"{request.path_params['name']}.html"
        response: Response = templates.TemplateResponse(request, name, {**request.query_params})
        return response

    app = kind()
    app.add_route("/{name}", show)
    app.add_middleware(DatalyrMiddleware, client=client)
    return app


def test_page(shop: Any) -> None:
    browser = TestClient(shop)
    assert browser.get("/page").text == PLAIN
    assert browser.get("/given?nonce=n1").text == with_nonce("n1")
    assert browser.get("/given").text == PLAIN
    assert browser.get("/imported").text == PLAIN


@pytest.mark.parametrize("headers", [OPTED_OUT, {"Sec-GPC": "1"}])
@pytest.mark.parametrize("page", ["/page", "/imported"])
def test_nothing_for_a_visitor_who_is_not_tracked(
    shop: Any, page: str, headers: dict[str, str]
) -> None:
    assert TestClient(shop).get(page, headers=headers).text == ""


def test_nonce_of_the_context(shop: Any) -> None:
    browser = TestClient(shop)
    assert browser.get("/page?csp_nonce=n1").text == with_nonce("n1")
    assert browser.get("/given?csp_nonce=n1&nonce=n2").text == with_nonce("n2")


def test_nonce_of_a_middleware(shop: Any) -> None:
    """As most applications do it: a middleware leaves the nonce in `request.state`."""

    async def secure(request: Request, call_next: Any) -> Response:
        request.state.csp_nonce = request.headers["x-nonce"]
        response: Response = await call_next(request)
        return response

    shop.add_middleware(BaseHTTPMiddleware, dispatch=secure)
    browser = TestClient(shop)
    for nonce in ("n1", "n2"):
        assert browser.get("/page", headers={"X-Nonce": nonce}).text == with_nonce(nonce)


def test_nonce_of_a_context_processor(client: RecordingClient) -> None:
    processors: list[Callable[[Request], dict[str, Any]]] = [
        lambda request: {"csp_nonce": lambda: request.headers["x-nonce"]}
    ]
    templates = install(Jinja2Templates(env=environment(), context_processors=processors))
    app = Starlette()
    app.add_route("/", lambda request: templates.TemplateResponse(request, "page.html"))
    app.add_middleware(DatalyrMiddleware, client=client)
    browser = TestClient(app)
    assert browser.get("/", headers={"X-Nonce": "n1"}).text == with_nonce("n1")
    assert browser.get("/").text == PLAIN  # the function raises


def test_hostile_values_are_escaped(make_recording: MakeRecording) -> None:
    client = make_recording(workspace_id="\"><script>alert('1')</script>&")
    template = install(environment()).get_template("given.html")

    def page(request: Request) -> Response:
        nonces: list[Any] = ['" onload="x', Markup('" onload="x')]
        return HTMLResponse("".join(template.render(nonce=nonce) for nonce in nonces))

    app = Starlette()
    app.add_route("/", page)
    app.add_middleware(DatalyrMiddleware, client=client)
    told = TestClient(app).get("/").text
    assert told.count("<script") == told.count("</script>") == 2
    assert told.count('data-workspace-id="&quot;&gt;&lt;script&gt;alert(&#x27;1&#x27;)') == 2
    assert told.count('nonce="&quot; onload=&quot;x"') == 2


def test_visitors_at_once(shop: Any) -> None:
    """Each page is that of its own visitor, whether its template sees the request or not."""
    together = asyncio.Barrier(8)

    async def wait(request: Request, call_next: Any) -> Response:
        await together.wait()
        response: Response = await call_next(request)
        return response

    shop.add_middleware(BaseHTTPMiddleware, dispatch=wait)

    async def main() -> list[str]:
        transport = httpx.ASGITransport(shop)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            pages = ("/page", "/imported")
            asked = [
                browser.get(pages[n % 2], headers=OPTED_OUT if n % 4 > 1 else {}) for n in range(8)
            ]
            return [answer.text for answer in await asyncio.gather(*asked)]

    assert asyncio.run(main()) == [PLAIN, PLAIN, "", ""] * 2


def test_nothing_for_them_where_a_path_is_excluded(make_recording: MakeRecording) -> None:
    client = make_recording(workspace_id="ws_1", exclude=["/"])
    templates = install(Jinja2Templates(env=environment()))

    async def page(request: Request) -> Response:
        assert current_tracker() is None
        return templates.TemplateResponse(request, "page.html")

    app = Starlette()
    app.add_route("/", page)
    app.add_middleware(DatalyrMiddleware, client=client)
    assert TestClient(app).get("/", headers=OPTED_OUT).text == ""
    assert TestClient(app).get("/").text == PLAIN


def test_page_of_an_error_is_made_outside_the_middleware(client: RecordingClient) -> None:
    templates = install(Jinja2Templates(env=environment()))

    async def sorry(request: Request, error: Exception) -> Response:
        assert current_tracker() is None
        return templates.TemplateResponse(request, "page.html", status_code=500)

    app = Starlette(exception_handlers={500: sorry})
    app.add_route("/", lambda request: {}["absent"])
    app.add_middleware(DatalyrMiddleware, client=client)
    browser = TestClient(app, raise_server_exceptions=False)
    assert browser.get("/").text == PLAIN
    assert browser.get("/", headers=OPTED_OUT).text == ""


def test_nothing_without_a_workspace(make_recording: MakeRecording) -> None:
    templates = install(Jinja2Templates(env=environment()))
    app = Starlette()
    app.add_route("/", lambda request: templates.TemplateResponse(request, "page.html"))
    app.add_middleware(DatalyrMiddleware, client=make_recording())
    assert TestClient(app).get("/").text == ""


def test_nothing_where_no_middleware_knows_the_visitor() -> None:
    """No error either: an error page may be made before a request comes to the middleware."""
    templates = install(Jinja2Templates(env=environment()))
    app = Starlette()
    app.add_route("/", lambda request: templates.TemplateResponse(request, "page.html"))
    response = TestClient(app).get("/")
    assert (response.status_code, response.text) == (200, "")


@pytest.mark.parametrize("variables", [{}, {"request": "a form's field, say"}])
def test_nothing_outside_a_request(variables: dict[str, str]) -> None:
    template = install(environment()).get_template("page.html")
    assert template.render(variables) == ""
