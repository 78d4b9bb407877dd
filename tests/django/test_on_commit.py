"""`request.datalyr.on_commit`: events that wait for a transaction of a real database."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import Permission
from django.core.exceptions import SynchronousOnlyOperation
from django.db import IntegrityError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http import HttpResponse, StreamingHttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.decorators import api_view
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer

from datalyr_core import current_tracker
from tests.django.accounts.models import Customer
from tests.django.conftest import OURS, SESSION, MakeSite, Site

pytestmark = pytest.mark.django_db(transaction=True)

two_databases = pytest.mark.django_db(transaction=True, databases=["default", "other"])
SYNC_WAYS = ["wsgi-sync", "asgi-sync"]


@pytest.fixture(autouse=True)
def nothing_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datalyr_core.warn_once._given", set())


@pytest.fixture
def customer() -> Customer:
    return Customer.objects.create(name="ida")


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


def names(site: Site) -> list[str]:
    return [event.event for event in site.events]


def sent(request: Any) -> int:
    return int(request.datalyr.client.stats.accepted)


def rolled_back(act: Callable[[], Any], **options: Any) -> None:
    """Do something in a transaction, or a savepoint, that is rolled back."""
    try:
        with transaction.atomic(**options):
            act()
            raise LookupError
    except LookupError:
        pass


def close_connections() -> None:
    """Close the connections of this thread, which is not the test's own.

    A database in memory that is asked to close its connection keeps it.
    """
    for each in connections.all(initialized_only=True):
        BaseDatabaseWrapper.close(each)


def view_of(act: Callable[[Any], Any]) -> Callable[[Any], HttpResponse]:
    """Make a view of what it does, which also runs where the event loop allows no database."""

    def view(request: Any) -> HttpResponse:
        return HttpResponse(str(act(request)))

    return view


# In a synchronous view


@pytest.mark.parametrize("way", SYNC_WAYS)
def test_event_waits_for_the_commit(make_site: MakeSite, way: str, customer: Customer) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            event_id = request.datalyr.on_commit.track("Bought", {"n": 1})
            request.datalyr.track("Tried")
            assert sent(request) == 1
        assert sent(request) == 2
        request.datalyr.track("Done", {"bought": event_id})

    site = make_site(view_of(act))
    site.log_in(customer)
    assert site.ask(way).status_code == 200
    assert names(site) == ["Tried", "Bought", "Done"]
    assert site.events[1].event_id == site.events[2].properties["bought"]
    assert site.users == [str(customer.pk)] * 3


@pytest.mark.parametrize("way", SYNC_WAYS)
def test_event_of_a_transaction_that_is_rolled_back_is_not_sent(
    make_site: MakeSite, way: str
) -> None:
    def act(request: Any) -> None:
        on_commit = request.datalyr.on_commit
        rolled_back(lambda: on_commit.track("Bought"))
        rolled_back(lambda: on_commit.identify("u1"))
        rolled_back(lambda: on_commit.page())
        rolled_back(lambda: on_commit.alias("u1"))
        rolled_back(lambda: on_commit.group("g1"))
        rolled_back(lambda: on_commit.track_purchase(1))
        request.datalyr.track("After")

    site = make_site(view_of(act))
    assert site.ask(way).status_code == 200
    assert names(site) == ["After"]
    assert site.users == [None]
    assert site.client.stats.dropped == {}


def test_outermost_transaction_is_waited_for(make_site: MakeSite) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            with transaction.atomic():
                request.datalyr.on_commit.track("Inner")
            with transaction.atomic(savepoint=False):
                request.datalyr.on_commit.track("Joined")
            request.datalyr.on_commit.track("Outer")
            assert sent(request) == 0

    site = make_site(view_of(act))
    assert site.get().status_code == 200
    assert names(site) == ["Inner", "Joined", "Outer"]


def test_savepoint_that_is_rolled_back_takes_its_own_events_alone(make_site: MakeSite) -> None:
    def act(request: Any) -> None:
        on_commit = request.datalyr.on_commit
        with transaction.atomic():
            on_commit.track("Before")
            rolled_back(lambda: on_commit.track("In it"))
            on_commit.track("After")
        rolled_back(lambda: on_commit.track("In another"))

    site = make_site(view_of(act))
    assert site.get().status_code == 200
    assert names(site) == ["Before", "After"]


def test_transaction_that_is_marked_for_rollback_sends_nothing(make_site: MakeSite) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            request.datalyr.on_commit.track("Bought")
            transaction.set_rollback(True)

    site = make_site(view_of(act))
    assert site.get().status_code == 200
    assert names(site) == []


def test_commit_that_fails_sends_nothing(make_site: MakeSite) -> None:
    def buy(request: Any) -> None:
        with transaction.atomic():
            request.datalyr.on_commit.track("Bought")
            # The database notices at the commit that there is no such content type.
            Permission.objects.create(content_type_id=404, codename="x")

    def act(request: Any) -> None:
        with pytest.raises(IntegrityError):
            buy(request)

    site = make_site(view_of(act))
    assert site.get().status_code == 200
    assert names(site) == []


def test_event_outside_a_transaction_is_sent_at_once(make_site: MakeSite, way: str) -> None:
    def act(request: Any) -> str:
        event_id = request.datalyr.on_commit.track("Bought")
        return str(event_id)

    site = make_site(view_of(act), middleware=(OURS,))
    response = site.ask(way)
    assert [event.event_id for event in site.events] == [response.content.decode()]


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A database that nobody has connected to."""
    file = tmp_path / "cold.sqlite3"
    cold = {**connections.settings["default"], "NAME": str(file)}
    monkeypatch.setitem(connections.settings, "cold", cold)
    yield file
    if "cold" in opened():
        del connections["cold"]


def opened() -> dict[str, Any]:
    return {each.alias: each for each in connections.all(initialized_only=True)}


@pytest.mark.parametrize("named_before", [False, True])
def test_no_database_is_asked(
    make_site: MakeSite, way: str, cold: Path, named_before: bool
) -> None:
    """Not even to connect: an event never waits on it."""
    if named_before:
        assert connections["cold"].connection is None

    act = view_of(lambda request: request.datalyr.on_commit(using="cold").track("Bought"))
    site = make_site(act, middleware=(OURS,))
    assert site.ask(way).status_code == 200
    assert names(site) == ["Bought"]
    assert ("cold" in opened()) is named_before
    assert not named_before or opened()["cold"].connection is None
    assert not cold.exists()


def test_the_event_is_that_of_the_call(make_site: MakeSite) -> None:
    def act(request: Any) -> None:
        properties = {"n": 1, "deep": [1]}
        with transaction.atomic():
            request.datalyr.on_commit.track("Bought", properties)
            properties["n"] = 2
            properties["deep"].append(2)
            assert request.datalyr.on_commit.track("") is None
            assert request.datalyr.on_commit.track_purchase("9") is None
            assert request.datalyr.client.stats.dropped == {"validation_error": 2}
            before_the_commit.append(datetime.now(UTC))

    before_the_commit: list[datetime] = []
    site = make_site(view_of(act))
    assert site.get().status_code == 200
    (bought,) = site.events
    assert (bought.properties["n"], bought.properties["deep"]) == (1, [1])
    assert datetime.fromisoformat(bought.timestamp) <= before_the_commit[0]


def test_who_does_not_consent_is_not_tracked_later_either(make_site: MakeSite) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            assert request.datalyr.on_commit.track("Bought") is None

    site = make_site(view_of(act))
    assert site.get(headers={"sec-gpc": "1"}).status_code == 200
    assert site.client.stats.dropped == {"consent": 1}


def test_our_callback_can_break_no_commit(make_site: MakeSite) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            request.datalyr.on_commit.track("Bought")
            assert [robust for _, _, robust in connection.run_on_commit] == [True]

    assert make_site(view_of(act)).get().status_code == 200


def test_hook_that_raises_breaks_no_commit(make_site: MakeSite) -> None:
    def before_send(event: Any) -> Any:
        raise ValueError("on purpose")

    def act(request: Any) -> None:
        with transaction.atomic():
            Customer.objects.create(name="kept")
            request.datalyr.on_commit.track("Bought")
        assert Customer.objects.filter(name="kept").exists()

    site = make_site(view_of(act), before_send=before_send)
    assert site.get().status_code == 200
    assert names(site) == ["Bought"]


def test_callback_of_the_application_that_raises_later(make_site: MakeSite) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    def buy(request: Any) -> None:
        with transaction.atomic():
            request.datalyr.on_commit.track("Bought")
            transaction.on_commit(fails)

    def act(request: Any) -> None:
        with pytest.raises(ZeroDivisionError):
            buy(request)

    site = make_site(view_of(act))
    assert site.get().status_code == 200
    assert names(site) == ["Bought"]


@pytest.mark.parametrize("way", SYNC_WAYS)
def test_signup(make_site: MakeSite, way: str) -> None:
    """A user who is made and identified in the transaction, once successfully."""

    def act(request: Any) -> None:
        def sign_up(name: str) -> None:
            user = Customer.objects.create(name=name)
            request.datalyr.on_commit.identify(user.pk, {"name": name})
            request.datalyr.on_commit.track("Signed Up", {"name": name})

        rolled_back(lambda: sign_up("first"))
        request.datalyr.track("Between")
        with transaction.atomic():
            sign_up("second")
        request.datalyr.track("After")

    site = make_site(view_of(act))
    assert site.ask(way).status_code == 200
    user = str(Customer.objects.get().pk)
    assert [(event.event, event.user_id) for event in site.events] == [
        ("Between", None),
        ("$identify", user),
        ("Signed Up", user),
        ("After", user),
    ]


# The whole request in a transaction


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("way", SYNC_WAYS)
def test_request_that_is_one_transaction(make_site: MakeSite, way: str, customer: Customer) -> None:
    def act(request: Any) -> None:
        request.datalyr.on_commit.track("Bought")
        assert sent(request) == 0

    site = make_site(view_of(act))
    site.log_in(customer)
    assert site.ask(way).status_code == 200
    assert site.users == [str(customer.pk)]


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("way", SYNC_WAYS)
def test_request_that_is_one_transaction_and_fails(make_site: MakeSite, way: str) -> None:
    def act(request: Any) -> None:
        request.datalyr.on_commit.track("Bought")
        request.datalyr.track("Tried")
        raise LookupError("on purpose")

    site = make_site(view_of(act))
    assert site.ask(way).status_code == 500
    assert names(site) == ["Tried"]


@pytest.mark.usefixtures("atomic_requests")
def test_stream_comes_after_the_transaction_of_its_request(make_site: MakeSite) -> None:
    def view(request: Any) -> StreamingHttpResponse:
        def chunks() -> Iterator[bytes]:
            request.datalyr.on_commit.track("In the stream")
            assert sent(request) == 2
            yield b"a"

        request.datalyr.on_commit.track("Before it")
        return StreamingHttpResponse(chunks())

    site = make_site(view)
    assert site.read() == b"a"
    assert names(site) == ["Before it", "In the stream"]


@pytest.mark.usefixtures("atomic_requests")
def test_view_without_a_transaction_of_its_own(make_site: MakeSite) -> None:
    @transaction.non_atomic_requests
    def view(request: Any) -> HttpResponse:
        request.datalyr.on_commit.track("Bought")
        return HttpResponse(sent(request))

    assert make_site(view).get().content == b"1"


@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("way", SYNC_WAYS)
def test_api_view_whose_error_rolls_the_request_back(make_site: MakeSite, way: str) -> None:
    """Django REST Framework answers the error itself, so that no exception leaves the view."""

    @api_view(["GET"])
    def view(request: Any) -> Any:
        request.datalyr.on_commit.track("Bought")
        raise ValidationError("on purpose")

    view.cls.renderer_classes = (JSONRenderer,)
    site = make_site(urls=(path("sync", view),))
    assert site.ask(way).status_code == 400
    assert names(site) == []


class Buy(View):
    """A class-based view whose `dispatch` is one transaction."""

    @method_decorator(transaction.atomic)
    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: Any) -> HttpResponse:
        self.request.datalyr.on_commit.track("Bought")  # type: ignore[attr-defined]  # the middleware's
        return HttpResponse(sent(request))


def test_class_based_view(make_site: MakeSite) -> None:
    site = make_site(Buy.as_view())
    assert site.get().content == b"0"
    assert names(site) == ["Bought"]


# Several databases


@two_databases
def test_each_database_has_its_transaction(make_site: MakeSite) -> None:
    def act(request: Any) -> None:
        on_commit = request.datalyr.on_commit
        with transaction.atomic():
            with transaction.atomic(using="other"):
                on_commit(using="other").track("Of the other")
                on_commit.track("Of the default")
                on_commit(using=None).track("Of the default, too")
                assert sent(request) == 0
            assert sent(request) == 1
        rolled_back(lambda: on_commit.track("At once"), using="other")
        rolled_back(lambda: on_commit("other").track("Never"), using="other")

    site = make_site(view_of(act))
    assert site.get().status_code == 200
    assert names(site) == ["Of the other", "Of the default", "Of the default, too", "At once"]


@two_databases
def test_user_of_one_transaction_is_the_user_of_another(make_site: MakeSite) -> None:
    def act(request: Any) -> None:
        with transaction.atomic(using="other"), transaction.atomic():
            request.datalyr.on_commit.identify("u1")
            request.datalyr.on_commit(using="other").track("Copied")

    site = make_site(view_of(act))
    assert site.get().status_code == 200
    assert site.users == ["u1", "u1"]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "datalyr.django"]


@pytest.mark.parametrize("alias", ["nowhere", ["a", "list"], 7])
def test_database_that_does_not_exist(
    make_site: MakeSite, way: str, alias: Any, caplog: pytest.LogCaptureFixture
) -> None:
    act = view_of(lambda request: request.datalyr.on_commit(using=alias).track("Bought"))
    site = make_site(act, middleware=(OURS,))
    for _ in range(2):
        assert site.ask(way).status_code == 200
    assert names(site) == ["Bought", "Bought"]
    (warning,) = warnings(caplog)
    assert f"there is no database {str(alias)!r}" in warning


def test_transaction_that_is_managed_by_hand(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    def act(request: Any) -> None:
        transaction.set_autocommit(False)
        try:
            request.datalyr.on_commit.track("Bought")
            request.datalyr.on_commit.track("Bought")
            transaction.commit()
        finally:
            transaction.set_autocommit(True)

    site = make_site(view_of(act))
    assert site.get().status_code == 200
    assert names(site) == ["Bought", "Bought"]
    (warning,) = warnings(caplog)
    assert "without transaction.atomic()" in warning


# In an asynchronous view


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_transaction_in_a_thread_of_an_asynchronous_view(
    make_site: MakeSite, server: str, thread_sensitive: bool, customer: Customer
) -> None:
    seen: list[int] = []

    async def view(request: Any) -> HttpResponse:
        def buy() -> None:
            try:
                with transaction.atomic():
                    tracker: Any = current_tracker()
                    tracker.on_commit.track("Bought")
                    seen.append(sent(request))
                rolled_back(lambda: request.datalyr.on_commit.track("Tried"))
            finally:
                if not thread_sensitive:
                    close_connections()

        await sync_to_async(buy, thread_sensitive=thread_sensitive)()
        seen.append(sent(request))
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    assert site.ask(f"{server}-async").status_code == 200
    assert seen == [0, 1]
    assert site.users == [str(customer.pk)]


def test_event_in_the_loop_waits_for_no_transaction_but_for_its_user(
    make_site: MakeSite, customer: Customer, caplog: pytest.LogCaptureFixture
) -> None:
    ids: list[Any] = []

    async def view(request: Any) -> HttpResponse:
        with pytest.raises(SynchronousOnlyOperation):
            transaction.on_commit(lambda: None)  # Django's own
        ids.append(request.datalyr.on_commit.track("Bought"))
        assert request.datalyr.needs_user
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    assert site.aget().status_code == 200
    assert [(event.event_id, event.user_id) for event in site.events] == [
        (ids[0], str(customer.pk))
    ]
    assert warnings(caplog) == []


def test_order_is_kept_between_the_loop_and_a_thread(
    make_site: MakeSite, customer: Customer
) -> None:
    async def view(request: Any) -> HttpResponse:
        def buy() -> None:
            with transaction.atomic():
                request.datalyr.on_commit.track("In a thread")

        request.datalyr.track("In the loop")
        await sync_to_async(buy)()
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    site.aget()
    assert names(site) == ["In the loop", "In a thread"]
    assert site.users == [str(customer.pk)] * 2


def test_database_in_the_loop_by_leave_of_the_application(
    make_site: MakeSite, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its user is not known at the call and not at the commit, but at the end of the request."""

    async def view(request: Any) -> HttpResponse:
        monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        try:
            with transaction.atomic():
                request.datalyr.on_commit.track("Bought")
                assert not request.datalyr.needs_user
            rolled_back(lambda: request.datalyr.on_commit.track("Tried"))
            assert request.datalyr.needs_user
        finally:
            close_connections()
            monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE")
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)
    assert site.aget().status_code == 200
    assert site.users == [str(customer.pk)]


def test_commit_in_a_task_that_outlives_its_request(
    make_site: MakeSite, customer: Customer
) -> None:
    """In a thread, where the user can be looked up, there is one."""
    tasks: list[Any] = []

    async def view(request: Any) -> HttpResponse:
        served = asyncio.Event()

        def buy() -> None:
            with transaction.atomic():
                tracker: Any = current_tracker()
                tracker.on_commit.track("Bought")

        async def later() -> None:
            await served.wait()
            await sync_to_async(buy)()

        tasks.append((served, asyncio.create_task(later())))
        return HttpResponse()

    site = make_site(view)
    site.log_in(customer)

    async def serve() -> None:
        await site.abrowser.get("/async")
        served, task = tasks.pop()
        served.set()
        await task

    async_to_sync(serve)()
    assert site.users == [str(customer.pk)]


# What it costs, and what is left of it


def test_look_up_happens_once_and_nothing_else_is_asked(
    make_site: MakeSite, customer: Customer
) -> None:
    def act(request: Any) -> None:
        with transaction.atomic():
            request.datalyr.on_commit.track("One")
            request.datalyr.on_commit.track("Two")

    site = make_site(view_of(act))
    site.log_in(customer)
    with CaptureQueriesContext(connection) as asked:
        site.get()
    told = [query["sql"] for query in asked if query["sql"].startswith("SELECT")]
    assert len(told) == 2  # the session and the user


def test_nothing_keeps_a_request_whose_transaction_was_rolled_back(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("django.request"), "disabled", True)
    alive: list[weakref.ref[Any]] = []

    def act(request: Any) -> None:
        alive.append(weakref.ref(request.datalyr))
        rolled_back(lambda: request.datalyr.on_commit.identify("u1"))
        with transaction.atomic():
            request.datalyr.on_commit.identify("u2")

    site = make_site(view_of(act), middleware=(SESSION, OURS))
    site.get()
    site.client.flush(10)
    gc.collect()
    assert [each() for each in alive] == [None]
    assert names(site) == ["$identify"]
