"""Users whom Django's own parts did not find, and those whom nobody can find."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from tests.django.accounts.models import Customer
from tests.django.conftest import MakeSite, buy

pytestmark = pytest.mark.django_db(transaction=True)

BY_KEY = "tests.django.accounts.backends.ByKey"
SYNC_WAYS = ["wsgi-sync", "asgi-sync"]


@pytest.fixture
def customer() -> Customer:
    return Customer.objects.create(name="mary")


def down(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
    if "accounts_customer" in sql:
        raise DatabaseError("the table is down, on purpose")
    return execute(sql, *args)


def test_primary_key_that_is_a_uuid(make_site: MakeSite, way: str, customer: Customer) -> None:
    site = make_site()
    site.log_in(customer)
    site.ask(way)
    assert [uuid.UUID(str(user)) for user in site.users] == [customer.pk]


@pytest.mark.parametrize("way", SYNC_WAYS)
def test_user_who_is_identified_by_the_object_s_key(
    make_site: MakeSite, way: str, customer: Customer
) -> None:
    def view(request: Any) -> HttpResponse:
        with transaction.atomic():
            request.datalyr.on_commit.identify(request.user.pk, {"key": request.user.pk})
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    assert site.ask(way).status_code == 200
    (event,) = site.events
    assert event.user_id == event.properties["key"] == str(customer.pk)


def test_backend_of_the_application_alone(
    make_site: MakeSite, way: str, customer: Customer
) -> None:
    site = make_site(settings={"AUTHENTICATION_BACKENDS": [BY_KEY]})
    site.browser.force_login(customer, BY_KEY)
    site.abrowser.cookies = site.browser.cookies
    site.ask(way)
    assert site.users == [str(customer.pk)]


@pytest.mark.parametrize("backends", [[BY_KEY], []])
def test_session_of_a_backend_that_is_no_more(
    make_site: MakeSite, way: str, customer: Customer, backends: list[str]
) -> None:
    site = make_site(settings={"AUTHENTICATION_BACKENDS": backends})
    site.browser.force_login(customer, "django.contrib.auth.backends.ModelBackend")
    site.abrowser.cookies = site.browser.cookies
    assert site.ask(way).status_code == 200
    assert site.users == [None]


def test_user_who_was_deleted(make_site: MakeSite, way: str, customer: Customer) -> None:
    site = make_site()
    site.log_in(customer)
    customer.delete()
    assert site.ask(way).status_code == 200
    assert site.users == [None]


class Broken:
    """Be a user of whom nothing can be said."""

    @property
    def is_authenticated(self) -> bool:
        raise LookupError("on purpose")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (SimpleNamespace(pk="another", is_authenticated=True), "another"),
        (SimpleNamespace(pk=0, is_authenticated=True), "0"),
        (SimpleNamespace(pk=None, is_authenticated=True), None),
        (SimpleNamespace(pk="nobody", is_authenticated=False), None),
        (SimpleNamespace(name="of no kind that is known"), None),
        (AnonymousUser(), None),
        (Broken(), None),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_user_whom_the_view_has_replaced(
    make_site: MakeSite, way: str, customer: Customer, user: Any, expected: str | None
) -> None:
    def view(request: Any) -> HttpResponse:
        request.user = user  # as impersonation does
        return buy(request)

    site = make_site(view)
    site.log_in(customer)
    assert site.ask(way).status_code == 200
    assert site.users == [expected]


@pytest.mark.parametrize("way", SYNC_WAYS)
@pytest.mark.parametrize("waits", [True, False])
def test_user_table_that_is_down_in_a_transaction(
    make_site: MakeSite, way: str, customer: Customer, waits: bool
) -> None:
    """The view's own queries go on: the look-up has a savepoint to fall back on."""

    def view(request: Any) -> HttpResponse:
        with transaction.atomic():
            tracker = request.datalyr.on_commit if waits else request.datalyr
            with connection.execute_wrapper(down):
                tracker.track("Bought")
            return HttpResponse(Customer.objects.count())

    site = make_site(view)
    site.log_in(customer)
    with CaptureQueriesContext(connection) as asked:
        response = site.ask(way)
    assert (response.status_code, response.content) == (200, b"1")
    assert site.users == [None]
    words = [query["sql"].split()[0] for query in asked]
    kept = [word for word in words if word in ("SAVEPOINT", "ROLLBACK", "RELEASE")]
    assert kept == ["SAVEPOINT", "ROLLBACK", "RELEASE"]


@pytest.mark.parametrize("way", SYNC_WAYS)
@pytest.mark.parametrize("loaded", [True, False])
def test_savepoint_is_made_for_a_look_up_alone(
    make_site: MakeSite, way: str, customer: Customer, loaded: bool
) -> None:
    def view(request: Any) -> HttpResponse:
        with transaction.atomic():
            if loaded:
                assert request.user.is_authenticated
            request.datalyr.track("One")
            request.datalyr.track("Two")
        request.datalyr.track("Three")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    with CaptureQueriesContext(connection) as asked:
        assert site.ask(way).status_code == 200
    savepoints = [query for query in asked if "SAVEPOINT" in query["sql"]]
    assert len(savepoints) == (0 if loaded else 2)  # made, and released
    assert site.users == [str(customer.pk)] * 3
