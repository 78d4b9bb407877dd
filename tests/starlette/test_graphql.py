"""GraphQL with strawberry, on Starlette by its ASGI application and on FastAPI by its router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.testclient import TestClient
from strawberry.asgi import GraphQL
from strawberry.fastapi import GraphQLRouter

from datalyr_core import Tracker, current_tracker
from datalyr_core.testing import RecordingClient
from datalyr_starlette import DatalyrMiddleware
from datalyr_starlette.fastapi import DatalyrDep

HEADERS = {"Cookie": "__dl_visitor_id=v"}


def track_below(event: str) -> None:
    tracker = current_tracker()
    assert tracker is not None
    tracker.track(event)


@strawberry.type
class Query:
    @strawberry.field
    def plan(self) -> str:
        track_below("Plan")
        return "pro"

    @strawberry.field
    async def price(self, info: strawberry.Info) -> int:
        await asyncio.sleep(0)  # so that resolvers take turns
        track_below("Price")
        assert info.context["request"].datalyr is current_tracker()
        return 9


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            track_below(f"Counted {number}")
            yield number


SCHEMA = strawberry.Schema(Query, subscription=Subscription)


@pytest.fixture(params=["starlette", "fastapi"])
def browser(request: pytest.FixtureRequest, client: RecordingClient) -> TestClient:
    app: Any
    if request.param == "starlette":
        app = Starlette()
        app.mount("/", GraphQL(SCHEMA))
    else:
        app = FastAPI()
        router: Any = GraphQLRouter(SCHEMA)
        app.include_router(router, prefix="/graphql")
    app.add_middleware(DatalyrMiddleware, client=client)
    return TestClient(app, headers=HEADERS)


def told(client: RecordingClient) -> list[tuple[str, str]]:
    return sorted((event.event, event.anonymous_id) for event in client.events)


def test_query(browser: TestClient, client: RecordingClient) -> None:
    answer = browser.post("/graphql", json={"query": "{ plan a: price b: price }"})
    assert answer.json() == {"data": {"plan": "pro", "a": 9, "b": 9}}
    assert told(client) == [("Plan", "v"), ("Price", "v"), ("Price", "v")]


def test_subscription_over_a_websocket(browser: TestClient, client: RecordingClient) -> None:
    protocols = ["graphql-transport-ws"]
    with browser.websocket_connect("/graphql", protocols) as websocket:
        websocket.send_json({"type": "connection_init"})
        assert websocket.receive_json()["type"] == "connection_ack"
        payload = {"query": "subscription { count(to: 3) }"}
        websocket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        answers = [websocket.receive_json()["type"] for _ in range(4)]
    assert answers == ["next", "next", "next", "complete"]
    assert told(client) == [(f"Counted {number}", "v") for number in range(3)]


def test_context_getter(client: RecordingClient) -> None:
    """FastAPI's dependencies make the context; the tracker can be one of them."""

    async def user(datalyr: DatalyrDep) -> None:
        datalyr.user_id = 42

    async def context(datalyr: DatalyrDep, user: None = Depends(user)) -> dict[str, Tracker]:
        return {"datalyr": datalyr}

    @strawberry.type
    class Shop:
        @strawberry.field
        def buy(self, info: strawberry.Info) -> str:
            return str(info.context["datalyr"].track("Bought"))

    app = FastAPI()
    router: Any = GraphQLRouter(strawberry.Schema(Shop), context_getter=context)
    app.include_router(router, prefix="/graphql")
    app.add_middleware(DatalyrMiddleware, client=client)
    answer = TestClient(app, headers=HEADERS).post("/graphql", json={"query": "{ buy }"})
    (bought,) = client.events
    assert answer.json() == {"data": {"buy": bought.event_id}}
    assert (bought.anonymous_id, bought.user_id) == ("v", "42")
