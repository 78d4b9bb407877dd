"""`request.datalyr.on_commit` in the tests of a project, which Django wraps in a transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, TestCase, TransactionTestCase, override_settings
from django.urls import path

from datalyr_core import Event
from datalyr_core.testing import RecordingTransport
from datalyr_django import get_client
from datalyr_django.settings import forget_client
from tests.django.conftest import OURS, MakeSite


def buy(request: Any) -> HttpResponse:
    on_commit = request.datalyr.on_commit(using=request.GET.get("using", DEFAULT_DB_ALIAS))
    with transaction.atomic(using=request.GET.get("using")):
        on_commit.track("Bought")
    return HttpResponse()


urlpatterns = [path("buy", buy)]


class Project:
    """What the tests below have in common, as a project would write it."""

    client: Client

    def setUp(self) -> None:
        self.transport = RecordingTransport()
        options = {"API_KEY": "dk_test", "TRANSPORT": self.transport}
        settings = override_settings(DATALYR=options, MIDDLEWARE=[OURS], ROOT_URLCONF=__name__)
        settings.enable()
        cleanup: Any = self
        cleanup.addCleanup(settings.disable)
        cleanup.addCleanup(forget_client)

    @property
    def events(self) -> list[str]:
        get_client().flush(10)
        return [Event.from_body(body).event for body in self.transport.bodies]


class InATransaction(Project, TestCase):
    databases = frozenset({"default", "other"})

    def test_events_wait_for_a_commit_that_never_comes(self) -> None:
        self.client.get("/buy")
        assert self.events == []

    def test_captured_callbacks(self) -> None:
        with self.captureOnCommitCallbacks() as callbacks:
            self.client.get("/buy")
        assert self.events == []
        assert len(callbacks) == 1
        callbacks[0]()
        assert self.events == ["Bought"]

    def test_captured_callbacks_that_are_executed(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            self.client.get("/buy")
            assert self.events == []
        assert len(callbacks) == 1
        assert self.events == ["Bought"]

    def test_captured_callbacks_of_one_database(self) -> None:
        with self.captureOnCommitCallbacks(using="other", execute=True) as callbacks:
            self.client.get("/buy")
            self.client.get("/buy?using=other")
        assert len(callbacks) == 1
        assert self.events == ["Bought"]

    async def test_captured_callbacks_of_an_asynchronous_request(self) -> None:
        capture: Any = self.captureOnCommitCallbacks(execute=True)
        await sync_to_async(capture.__enter__)()
        await self.async_client.get("/buy")
        await sync_to_async(capture.__exit__)(None, None, None)
        assert await sync_to_async(lambda: self.events)() == ["Bought"]


class WithTransactionsOfItsOwn(Project, TransactionTestCase):
    def test_events_are_sent_at_the_commit(self) -> None:
        self.client.get("/buy")
        assert self.events == ["Bought"]


@pytest.mark.django_db
def test_with_pytests_fixture(
    make_site: MakeSite, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    site = make_site(buy, middleware=(OURS,))
    with django_capture_on_commit_callbacks(execute=True):
        site.get()
    assert [event.event for event in site.events] == ["Bought"]


@pytest.mark.django_db
def test_nothing_is_logged_of_what_was_never_committed(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    site = make_site(buy, middleware=(OURS,))
    site.get()
    assert site.events == []
    assert [each for each in caplog.records if each.name.startswith("datalyr")] == []


def test_a_request_without_the_middleware_has_no_tracker() -> None:
    with pytest.raises(AttributeError, match="datalyr"):
        buy(HttpRequest())
