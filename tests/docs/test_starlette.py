"""The examples of docs/starlette.md, each run as it stands there."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from starlette.testclient import TestClient

from datalyr_core.testing import RecordedEvents
from datalyr_starlette import DatalyrMiddleware
from datalyr_starlette.fastapi import DatalyrDep
from tests.docs.pages import run

PAGE = "docs/starlette.md"


@pytest.fixture
def api(datalyr_events: RecordedEvents) -> FastAPI:
    api = FastAPI()
    api.add_middleware(DatalyrMiddleware, api_key="dk_test", workspace_id="ws")
    return api


def test_the_first_example(datalyr_events: RecordedEvents) -> None:
    app = run(PAGE, "Starlette(routes=")["app"]
    with TestClient(app) as browser:
        assert browser.post("/buy").text == "thank you"
    datalyr_events.assert_tracked("Purchase Completed", amount=99.99, count=1)


def test_a_dependency_tells_the_user(api: FastAPI, datalyr_events: RecordedEvents) -> None:
    given = {"Annotated": Annotated, "Depends": Depends, "DatalyrDep": DatalyrDep}
    users = SimpleNamespace(current_user=lambda: lambda: SimpleNamespace(id="ada"))
    current_user = run(PAGE, "fastapi_users", User=Any, fastapi_users=users, **given)[
        "current_user"
    ]

    @api.get("/", dependencies=[Depends(current_user)])
    def view(datalyr: DatalyrDep) -> None:
        datalyr.track("Seen")

    with TestClient(api) as browser:
        assert browser.get("/").status_code == 200
    datalyr_events.assert_tracked("Seen", user_id="ada")


def test_templates_and_the_nonce_of_the_policy(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{{ datalyr_browser_sdk() }}")
    given = {"Jinja2Templates": lambda folder: Jinja2Templates(tmp_path)}
    templates = run(PAGE, "templating import install", **given)["templates"]
    given = {"BaseHTTPMiddleware": BaseHTTPMiddleware, "secrets": secrets}
    policy = run(PAGE, "class ContentSecurityPolicy", **given)["ContentSecurityPolicy"]

    def page(request: Request) -> Response:
        answer: Response = templates.TemplateResponse(request, "page.html")
        return answer

    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(policy)
    app.add_middleware(DatalyrMiddleware, api_key="dk_test", workspace_id="ws")
    with TestClient(app) as browser:
        response = browser.get("/")
    found = re.search(r'nonce="([^"]+)"', response.text)
    assert found
    assert response.headers["Content-Security-Policy"] == f"script-src 'nonce-{found[1]}'"


def test_the_context_of_a_resolver(api: FastAPI, datalyr_events: RecordedEvents) -> None:
    strawberry = pytest.importorskip("strawberry")
    router = pytest.importorskip("strawberry.fastapi").GraphQLRouter

    def buy(info: Any) -> str:
        info.context["datalyr"].track("Purchase Completed")
        return "bought"

    buy.__annotations__ = {"info": strawberry.Info, "return": str}
    query = type("Query", (), {"buy": strawberry.field(resolver=buy)})
    schema = strawberry.Schema(strawberry.type(query))
    run(PAGE, "GraphQLRouter", app=api, schema=schema, GraphQLRouter=router, DatalyrDep=DatalyrDep)
    with TestClient(api) as browser:
        answer = browser.post("/graphql", json={"query": "{ buy }"}).json()
    assert answer == {"data": {"buy": "bought"}}
    datalyr_events.assert_tracked("Purchase Completed", count=1)


def test_the_tracker_as_a_parameter_and_a_test_of_it() -> None:
    app = FastAPI()
    run(PAGE, "def buy(plan", app=app)
    given = {"DatalyrMiddleware": DatalyrMiddleware, "TestClient": TestClient}
    run(PAGE, "recording_client", app=app, **given)["client"].close()
