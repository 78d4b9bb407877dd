"""GraphQL on Flask with strawberry: resolvers, plain and async, of both kinds of view."""

from __future__ import annotations

import strawberry
from flask import Flask, request
from strawberry.flask.views import AsyncGraphQLView, GraphQLView

from datalyr_core import current_tracker
from datalyr_core.testing import RecordingClient
from datalyr_flask import current_datalyr

HEADERS = {"Cookie": "__dl_visitor_id=v"}


def find_plan(name: str) -> str:
    current_datalyr.track("Plan", {"name": name})
    return name


@strawberry.type
class PlainQuery:
    plan: str = strawberry.field(find_plan)


@strawberry.type
class Query:
    plan: str = strawberry.field(find_plan)

    @strawberry.field
    async def price(self, info: strawberry.Info) -> int:
        tracker = current_tracker()
        assert tracker is info.context["request"].datalyr
        tracker.track("Price")
        return 9


@strawberry.type
class Mutation:
    @strawberry.mutation
    def buy(self, plan: str) -> str:
        request.datalyr.identify("42")
        return str(request.datalyr.track("Bought", {"plan": plan}))


def told(client: RecordingClient) -> list[tuple[str, str, str | None]]:
    return [(event.event, event.anonymous_id, event.user_id) for event in client.events]


def test_plain_view(app: Flask, client: RecordingClient) -> None:
    schema = strawberry.Schema(PlainQuery, Mutation)
    app.add_url_rule("/graphql", view_func=GraphQLView.as_view("graphql", schema=schema))
    browser = app.test_client(use_cookies=False)
    asked = '{ a: plan(name: "pro") b: plan(name: "max") }'
    answer = browser.post("/graphql", json={"query": asked}, headers=HEADERS)
    assert answer.json == {"data": {"a": "pro", "b": "max"}}
    answer = browser.post("/graphql", json={"query": 'mutation { buy(plan: "pro") }'})
    assert answer.json is not None
    *plans, identified, bought = client.events
    assert [(event.event, event.anonymous_id) for event in plans] == [("Plan", "v")] * 2
    assert (identified.event, bought.event, bought.user_id) == ("$identify", "Bought", "42")
    assert answer.json["data"]["buy"] == bought.event_id


def test_async_view(app: Flask, client: RecordingClient) -> None:
    schema = strawberry.Schema(Query)
    view = AsyncGraphQLView.as_view("graphql", schema=schema)
    app.add_url_rule("/graphql", view_func=view)
    browser = app.test_client(use_cookies=False)
    asked = '{ plan(name: "pro") a: price b: price }'
    answer = browser.post("/graphql", json={"query": asked}, headers=HEADERS)
    assert answer.json == {"data": {"plan": "pro", "a": 9, "b": 9}}
    assert sorted(told(client)) == [("Plan", "v", None), ("Price", "v", None), ("Price", "v", None)]


def test_resolver_that_raises(app: Flask, client: RecordingClient) -> None:
    """Its error is GraphQL's to answer; what was tracked before it counts."""

    @strawberry.type
    class Broken:
        @strawberry.field
        def plan(self) -> str:
            current_datalyr.track("Began")
            raise LookupError("no such plan")

    schema = strawberry.Schema(Broken)
    app.add_url_rule("/graphql", view_func=GraphQLView.as_view("graphql", schema=schema))
    browser = app.test_client(use_cookies=False)
    answer = browser.post("/graphql", json={"query": "{ plan }"}, headers=HEADERS)
    assert answer.json is not None
    assert answer.json["errors"][0]["message"] == "no such plan"
    assert told(client) == [("Began", "v", None)]
