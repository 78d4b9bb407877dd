"""The examples of docs/flask.md, each run as it stands there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask, Response, request

from datalyr_core.testing import RecordedEvents
from datalyr_flask import FlaskDatalyr, current_datalyr
from tests.docs.pages import run

PAGE = "docs/flask.md"


@pytest.fixture
def app(datalyr_events: RecordedEvents) -> Iterator[Flask]:
    app = Flask(__name__)
    FlaskDatalyr(app, api_key="dk_test", set_visitor_cookie=True)
    with app.extensions["datalyr"]:
        yield app


def test_the_first_example(datalyr_events: RecordedEvents) -> None:
    app = run(PAGE, "FlaskDatalyr(app)\n\n\n")["app"]
    with app.extensions["datalyr"]:
        assert app.test_client().post("/buy").text == "thank you"
    datalyr_events.assert_tracked("Purchase Completed", amount=99.99, count=1)


def test_a_factory_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DATALYR_API_KEY", "dk_environment")
    monkeypatch.setenv("FLASK_DATALYR_FLUSH_AT", "7")
    create_app = run(PAGE, "def create_app", Flask=Flask, FlaskDatalyr=FlaskDatalyr)["create_app"]
    first, second = (create_app().extensions["datalyr"] for _ in range(2))
    with first, second:
        assert first is not second
        assert (first.config.api_key, first.config.flush_at) == ("dk_environment", 7)


def test_what_a_proxy_says(app: Flask, datalyr_events: RecordedEvents) -> None:
    app.post("/page")(lambda: request.datalyr.page() or "")  # type: ignore[attr-defined]  # ours
    run(PAGE, "ProxyFix", app=app)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "shop.example"}
    response = app.test_client().post("/page", headers=headers)
    assert "Secure" in response.headers["Set-Cookie"]
    datalyr_events.assert_tracked("$pageview", url="https://shop.example/page")


@pytest.mark.parametrize("table", [["a", "b", "c"], []])
def test_an_export_counts_its_rows(
    app: Flask, datalyr_events: RecordedEvents, table: list[str]
) -> None:
    run(PAGE, "Export Completed", app=app, request=request, Response=Response, table=lambda: table)
    assert app.test_client().get("/export").text == "".join(table)
    datalyr_events.assert_tracked("Export Completed", rows=len(table))


def test_a_resolver(app: Flask, datalyr_events: RecordedEvents) -> None:
    strawberry = pytest.importorskip("strawberry")
    view = pytest.importorskip("strawberry.flask.views").GraphQLView

    @strawberry.type
    class Query:
        name: str

    mutation = run(PAGE, "class Mutation", strawberry=strawberry, current_datalyr=current_datalyr)
    schema = strawberry.Schema(query=Query, mutation=mutation["Mutation"])
    app.add_url_rule("/graphql", view_func=view.as_view("graphql", schema=schema))
    query = {"query": 'mutation { buy(plan: "pro") }'}
    assert app.test_client().post("/graphql", json=query).json == {"data": {"buy": "pro"}}
    datalyr_events.assert_tracked("Purchase Completed", plan="pro")


def test_a_test() -> None:
    app = Flask(__name__)

    @app.post("/buy")
    def buy() -> str:
        current_datalyr.track("Purchase Completed")
        return ""

    run(PAGE, "recording_client", app=app, FlaskDatalyr=FlaskDatalyr)["client"].close()
