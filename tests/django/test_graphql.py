"""GraphQL by Strawberry: one view, whose resolvers are given the request."""

from __future__ import annotations

import json
from typing import Any

import pytest
import strawberry
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.urls import path
from strawberry.django.views import AsyncGraphQLView, GraphQLView

from datalyr_core import current_tracker
from tests.django.accounts.models import Customer
from tests.django.conftest import MakeSite, Site

pytestmark = pytest.mark.django_db(transaction=True)

VISITOR = {"cookie": "__dl_visitor_id=v1"}


@pytest.fixture
def customer() -> Customer:
    return Customer.objects.create(name="ada")


def buy(info: strawberry.Info, item: str) -> str:
    tracker = info.context.request.datalyr
    assert current_tracker() is tracker
    tracker.track("Bought", {"item": item})
    return str(tracker.anonymous_id)


def order(info: strawberry.Info, *, fail: bool) -> bool:
    with transaction.atomic():
        info.context.request.datalyr.on_commit.track("Ordered")
        if fail:
            raise ValueError("on purpose")
    return True


@strawberry.type
class Query:
    @strawberry.field
    def visitor(self, info: strawberry.Info, item: str = "tea") -> str:
        return buy(info, item)


@strawberry.type
class AsyncQuery:
    @strawberry.field
    async def visitor(self, info: strawberry.Info, item: str = "tea") -> str:
        return buy(info, item)


@strawberry.type
class Mutation:
    @strawberry.mutation
    def order(self, info: strawberry.Info, fail: bool = False) -> bool:
        return order(info, fail=fail)


@strawberry.type
class AsyncMutation:
    @strawberry.mutation
    async def order(self, info: strawberry.Info, fail: bool = False) -> bool:
        return await sync_to_async(order)(info, fail=fail)


schema = strawberry.Schema(Query, Mutation)
async_schema = strawberry.Schema(AsyncQuery, AsyncMutation)
urlpatterns = (
    path("sync", GraphQLView.as_view(schema=schema)),
    path("async", AsyncGraphQLView.as_view(schema=async_schema)),
)


def post(site: Site, way: str, query: str, **headers: str) -> Any:
    """Post a query in one of the four ways, as a GraphQL client does."""
    server, view = way.split("-")
    options = {"content_type": "application/json", "headers": {**VISITOR, **headers}}
    body = json.dumps({"query": query})
    if server == "wsgi":
        return site.browser.post(f"/{view}", body, **options)
    return async_to_sync(site.abrowser.post)(f"/{view}", body, **options)


def test_resolvers_of_one_query_share_visitor_and_user(
    make_site: MakeSite, way: str, customer: Customer
) -> None:
    site = make_site(urls=urlpatterns)
    site.log_in(customer)
    cookies = "; ".join(f"{name}={each.value}" for name, each in site.browser.cookies.items())
    query = '{ a: visitor b: visitor(item: "cake") }'
    response = post(site, way, query, cookie=f"{cookies}; {VISITOR['cookie']}")
    assert response.json()["data"] == {"a": "v1", "b": "v1"}
    assert site.users == [str(customer.pk)] * 2
    assert {event.anonymous_id for event in site.events} == {"v1"}
    assert {event.properties["item"] for event in site.events} == {"tea", "cake"}


def test_mutation_waits_for_its_transaction(make_site: MakeSite, way: str) -> None:
    site = make_site(urls=urlpatterns)
    assert post(site, way, "mutation { order }").json()["data"] == {"order": True}
    failed = post(site, way, "mutation { order(fail: true) }").json()
    assert failed["errors"][0]["message"] == "on purpose"
    assert [event.event for event in site.events] == ["Ordered"]


def test_visitor_who_is_not_tracked(make_site: MakeSite, way: str) -> None:
    site = make_site(urls=urlpatterns)
    response = post(site, way, "{ visitor }", **{"sec-gpc": "1"})
    assert response.json()["data"] == {"visitor": "None"}
    assert site.events == []
