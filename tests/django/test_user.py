"""Whose events they are: the user, who is looked up only for an event."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.middleware import get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_out
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test.utils import CaptureQueriesContext

from tests.django.accounts.models import Customer
from tests.django.conftest import AUTH, OURS, SESSION, MakeSite

TOKENS = "tests.django.chain.token_middleware"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def customer() -> Customer:
    return Customer.objects.create(name="jane")


def queries() -> CaptureQueriesContext:
    return CaptureQueriesContext(connection)


def test_user_is_the_authenticated_one(make_site: MakeSite, way: str, customer: Customer) -> None:
    site = make_site()
    site.log_in(customer)
    with queries() as asked:
        site.ask(way)
    assert site.users == [str(customer.pk)]
    assert len(asked) == 2  # the session and the user, once


def test_two_events_are_one_look_up(make_site: MakeSite, way: str, customer: Customer) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.track("One")
        request.datalyr.track("Two")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    with queries() as asked:
        site.ask(way)
    assert site.users == [str(customer.pk)] * 2
    assert len(asked) == 2


def test_nobody_is_nobody(make_site: MakeSite, way: str) -> None:
    site = make_site()
    site.ask(way)
    assert site.users == [None]


def test_user_is_known_also_when_the_view_raises(
    make_site: MakeSite, way: str, customer: Customer
) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.track("Before")
        raise ValueError("on purpose")

    site = make_site(view)
    site.log_in(customer)
    assert site.ask(way).status_code == 500
    assert site.users == [str(customer.pk)]


def test_what_changes_after_the_call_changes_nothing(
    make_site: MakeSite, way: str, customer: Customer
) -> None:
    def view(request: Any) -> HttpResponse:
        properties = {"n": 1, "deep": [1]}
        request.datalyr.track("Bought", properties)
        properties["n"] = 2
        properties["deep"].append(2)
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    site.ask(way)
    assert site.events[0].properties["n"] == 1
    assert site.events[0].properties["deep"] == [1]


def test_what_the_view_says_beats_what_is_looked_up(
    make_site: MakeSite, way: str, customer: Customer
) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.user_id = "said"
        request.datalyr.track("Bought")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    site.ask(way)
    assert site.users == ["said"]


def test_user_whom_an_asynchronous_view_has_asked_for(
    make_site: MakeSite, customer: Customer
) -> None:
    async def view(request: Any) -> HttpResponse:
        await request.auser()
        request.datalyr.track("Bought")
        assert not request.datalyr.needs_user
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    assert site.aget().status_code == 200
    assert site.users == [str(customer.pk)]


def materialised(request: Any) -> None:
    assert request.user.name == "jane"


@pytest.mark.parametrize("load", [materialised, get_user])  # the latter leaves `user` lazy
def test_user_whom_a_synchronous_part_of_an_asynchronous_view_has_loaded(
    make_site: MakeSite, customer: Customer, load: Any
) -> None:
    async def view(request: Any) -> HttpResponse:
        await sync_to_async(load)(request)
        request.datalyr.track("Bought")
        assert not request.datalyr.needs_user
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    with queries() as asked:
        assert site.aget().status_code == 200
    assert site.users == [str(customer.pk)]
    assert len(asked) == 2  # by the view


def test_login_and_logout_in_the_view(make_site: MakeSite, customer: Customer) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.track("Before")
        login(request, customer)
        request.datalyr.track("In")
        logout(request)
        request.datalyr.track("After")
        return HttpResponse()

    site = make_site(view)
    site.get()
    assert site.users == [None, str(customer.pk), None]


def test_login_in_an_asynchronous_view(make_site: MakeSite, customer: Customer) -> None:
    async def view(request: Any) -> HttpResponse:
        await alogin(request, customer)
        request.datalyr.track("In")
        return HttpResponse()

    site = make_site(view)
    site.aget()
    assert site.users == [str(customer.pk)]


@pytest.mark.django_db(transaction=True)
def test_logout_in_an_asynchronous_view(make_site: MakeSite, customer: Customer) -> None:
    async def view(request: Any) -> HttpResponse:
        request.datalyr.track("Logged Out")
        await alogout(request)
        request.datalyr.track("After")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    site.aget()
    assert site.users == [str(customer.pk), None]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("module", "pause"), [("django.contrib.auth", 0), ("django.contrib.auth", 0.001), ("own", 0)]
)
def test_auser_that_was_changed_alone(
    module: str, pause: float, make_site: MakeSite, customer: Customer
) -> None:
    """As `alogout` of Django 6.0 leaves the request: what `user` remembers is of before."""

    async def nobody() -> AnonymousUser:
        if pause:
            await asyncio.sleep(pause)
        return AnonymousUser()

    nobody.__module__ = module

    async def view(request: Any) -> HttpResponse:
        assert await request.auser() == customer
        request.datalyr.track("Before")
        request.auser = nobody
        request.datalyr.track("After")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    assert site.aget().status_code == 200
    assert site.users == [str(customer.pk), None]


@pytest.mark.django_db(transaction=True)
def test_logout_and_another_threads_event(make_site: MakeSite, customer: Customer) -> None:
    async def view(request: Any) -> HttpResponse:
        request.datalyr.track("Before")
        await alogout(request)
        await sync_to_async(request.datalyr.track)("After")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    site.aget()
    assert site.users == [str(customer.pk), None]


@pytest.mark.django_db(transaction=True)
def test_asynchronous_logout_in_a_synchronous_view(make_site: MakeSite, customer: Customer) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.track("Before")
        async_to_sync(alogout)(request)
        request.datalyr.track("After")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    site.get()
    assert site.users == [str(customer.pk), None]


@pytest.mark.django_db(transaction=True)
def test_logout_and_login_of_another_in_one_request(
    make_site: MakeSite, customer: Customer
) -> None:
    other = Customer.objects.create(name="bob")

    async def view(request: Any) -> HttpResponse:
        await request.auser()
        request.datalyr.track("Before")
        await alogout(request)
        request.datalyr.track("Between")
        await alogin(request, other)
        request.datalyr.track("After")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    site.aget()
    assert site.users == [str(customer.pk), None, str(other.pk)]


@pytest.mark.django_db(transaction=True)
def test_logout_of_a_user_whom_a_function_tells(make_site: MakeSite, customer: Customer) -> None:
    async def view(request: Any) -> HttpResponse:
        request.datalyr.track("Logged Out")
        await alogout(request)
        return HttpResponse()

    site = make_site(view, user_id=name_of_user)
    site.log_in(customer)
    site.aget()
    assert site.users == [customer.name]


def test_logout_without_a_request_of_ours(make_site: MakeSite) -> None:
    make_site()
    user_logged_out.send(sender=Customer, request=None, user=None)
    user_logged_out.send(sender=Customer, request=HttpRequest(), user=None)


def test_user_table_that_is_down_is_no_user(
    make_site: MakeSite, way: str, customer: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    def down(execute: Any, sql: str, *args: Any) -> Any:
        if "accounts_customer" in sql:
            raise DatabaseError("the table is down, on purpose")
        return execute(sql, *args)

    site = make_site()
    site.log_in(customer)
    with caplog.at_level(logging.WARNING, "datalyr"), connection.execute_wrapper(down):
        assert site.ask(way).status_code == 200
    assert site.users == [None]
    assert "could not be looked up" in caplog.text


def test_look_up_without_the_authentication_middleware(make_site: MakeSite, way: str) -> None:
    site = make_site(middleware=(SESSION, OURS))
    site.ask(way)
    assert site.users == [None]


@pytest.mark.parametrize("order", [(OURS, SESSION, AUTH), (SESSION, OURS, AUTH)])
def test_order_of_the_middlewares_does_not_matter(
    make_site: MakeSite, way: str, customer: Customer, order: tuple[str, ...]
) -> None:
    site = make_site(middleware=order)
    site.log_in(customer)
    site.ask(way)
    assert site.users == [str(customer.pk)]


def test_lazy_user_of_another_middleware(make_site: MakeSite, way: str) -> None:
    site = make_site(middleware=(TOKENS, OURS))
    site.ask(way, headers={"authorization": "token-7"})
    assert site.users == ["token-7"]


@pytest.mark.parametrize("way", ["wsgi-async", "asgi-async"])
def test_lazy_user_of_another_middleware_whom_the_view_has_loaded(
    make_site: MakeSite, way: str
) -> None:
    async def view(request: Any) -> HttpResponse:
        assert request.user.pk == "token-7"  # a mere token needs no await
        request.datalyr.track("Bought")
        assert not request.datalyr.needs_user
        return HttpResponse()

    site = make_site(view, middleware=(TOKENS, OURS))
    assert site.ask(way, headers={"authorization": "token-7"}).status_code == 200
    assert site.users == ["token-7"]


@pytest.mark.parametrize(
    "order",
    [(SESSION, AUTH, TOKENS, OURS), (SESSION, AUTH, OURS, TOKENS), (OURS, SESSION, AUTH, TOKENS)],
)
def test_user_who_replaced_that_of_the_session(
    make_site: MakeSite, way: str, customer: Customer, order: tuple[str, ...]
) -> None:
    site = make_site(middleware=order)
    site.log_in(customer)
    site.ask(way, headers={"authorization": "token-7"})
    assert site.users == ["token-7"]


@pytest.mark.parametrize("way", ["wsgi-async", "asgi-async"])
def test_user_who_replaced_that_of_the_session_whom_the_view_asked_for(
    make_site: MakeSite, way: str, customer: Customer
) -> None:
    async def view(request: Any) -> HttpResponse:
        assert (await request.auser()).pk == customer.pk  # the request remembers
        request.datalyr.track("Bought")
        return HttpResponse()

    site = make_site(view, middleware=(SESSION, AUTH, TOKENS, OURS))
    site.log_in(customer)
    assert site.ask(way, headers={"authorization": "token-7"}).status_code == 200
    assert site.users == ["token-7"]


def test_lazy_user_that_cannot_be_loaded(
    make_site: MakeSite, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(middleware=(TOKENS, OURS))
    assert site.ask(way, headers={"authorization": "broken"}).status_code == 200
    assert site.users == [None]
    assert "could not be looked up" in caplog.text


def given_user(request: Any) -> str:
    return f"given-{request.method}"


@pytest.mark.parametrize("given", [given_user, f"{__name__}.given_user"])
def test_function_of_the_application(make_site: MakeSite, way: str, given: Any) -> None:
    site = make_site(user_id=given)
    site.ask(way)
    assert site.users == ["given-GET"]


def name_of_user(request: Any) -> str | None:
    return request.user.name if request.user.is_authenticated else None


def name_in_session(request: Any) -> str | None:
    return request.session.get("name")


@pytest.mark.parametrize("given", [name_of_user, name_in_session])
def test_function_of_the_application_that_needs_the_database(
    make_site: MakeSite, way: str, customer: Customer, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def view(request: Any) -> HttpResponse:
        request.datalyr.track("One")
        request.datalyr.track("Two")
        return HttpResponse()

    site = make_site(view, user_id=given)
    site.log_in(customer)
    session = site.browser.session
    session["name"] = customer.name
    session.save()
    with queries() as asked:
        site.ask(way)
    assert site.users == ["jane", "jane"]
    assert len(asked) == (2 if given is name_of_user else 1)
    assert caplog.text == ""


def test_function_of_the_application_that_fails_at_the_end(
    make_site: MakeSite, customer: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    def given(request: Any) -> str:
        raise LookupError(f"nobody knows {request.user.name}, on purpose")

    site = make_site(user_id=given)
    site.log_in(customer)
    assert site.aget("/async").status_code == 200
    assert site.users == [None]
    assert [
        record.getMessage() for record in caplog.records if record.name == "datalyr.django"
    ] == [
        "the user of a request could not be looked up: LookupError('nobody knows jane, on purpose')"
    ]


def test_stream_that_tracks_has_its_user(make_site: MakeSite, customer: Customer) -> None:
    async def view(request: Any) -> StreamingHttpResponse:
        async def chunks() -> Any:
            yield b"a"
            request.datalyr.track("Streamed")
            yield b"b"

        return StreamingHttpResponse(chunks())

    site = make_site(view)
    site.log_in(customer)
    assert site.aread() == b"ab"
    assert site.users == [str(customer.pk)]


def test_synchronous_stream_has_its_user(make_site: MakeSite, customer: Customer) -> None:
    def view(request: Any) -> StreamingHttpResponse:
        def chunks() -> Any:
            request.datalyr.track("Streamed")
            yield b"a"

        return StreamingHttpResponse(chunks())

    site = make_site(view)
    site.log_in(customer)
    assert site.read() == b"a"
    assert site.users == [str(customer.pk)]


def test_events_do_not_wait_after_the_request(make_site: MakeSite) -> None:
    """A task that outlives its view has nobody to settle its events."""
    kept: list[Any] = []

    async def view(request: Any) -> HttpResponse:
        kept.append(request.datalyr)
        return HttpResponse()

    site = make_site(view)
    site.aget()

    async def later() -> None:
        kept[0].track("Late")

    async_to_sync(later)()
    assert site.users == [None]
