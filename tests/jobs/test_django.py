"""Jobs that Django views queue, and the user whom only an await can tell."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals
from django.http import HttpResponse

from datalyr_core.jobs.celery import install
from tests.django.accounts.models import Customer
from tests.django.conftest import MakeSite, Site, customer, make_site

__all__ = ["customer", "make_site"]  # fixtures of the plugin's own tests

pytestmark = pytest.mark.django_db(transaction=True)


app = Celery("django", broker="memory://", set_as_current=False)
install(app)


@app.task(name="send_receipt")
def send_receipt() -> None:
    """Never run here."""


@pytest.fixture
def published() -> Iterator[list[Any]]:
    """What goes out to the broker, which is this process's memory."""
    told: list[Any] = []

    def note(headers: Any = None, **_: object) -> None:
        told.append(headers["headers"]["datalyr"])

    signals.after_task_publish.connect(note)
    yield told
    signals.after_task_publish.disconnect(note)


def queue(request: Any) -> HttpResponse:
    send_receipt.delay()
    return HttpResponse()


async def aqueue(request: Any) -> HttpResponse:
    return queue(request)


async def aqueue_when_known(request: Any) -> HttpResponse:
    await request.auser()
    return queue(request)


def ask(site: Site, way: str) -> None:
    site.browser.cookies["__dl_visitor_id"] = "anon_ada"
    site.abrowser.cookies["__dl_visitor_id"] = "anon_ada"
    site.get() if way == "wsgi" else site.aget()


@pytest.mark.parametrize("way", ["wsgi", "asgi"])
def test_a_synchronous_view(
    make_site: MakeSite, customer: Customer, published: list[Any], way: str
) -> None:
    site = make_site(queue)
    site.log_in(customer)
    ask(site, way)
    told = {"allowed": True, "anonymous_id": "anon_ada", "user_id": str(customer.pk)}
    assert published == [told]


def test_an_asynchronous_view_that_knows_its_user(
    make_site: MakeSite, customer: Customer, published: list[Any]
) -> None:
    site = make_site(aqueue_when_known)
    site.log_in(customer)
    ask(site, "asgi")
    (told,) = published
    assert told["user_id"] == str(customer.pk)


def test_an_asynchronous_view_that_does_not(
    make_site: MakeSite,
    customer: Customer,
    published: list[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = make_site(aqueue)
    site.log_in(customer)
    with caplog.at_level(logging.WARNING, "datalyr"):
        ask(site, "asgi")
        ask(site, "asgi")
    told = {"allowed": True, "anonymous_id": "anon_ada", "user_id": None}
    assert published == [told, told]
    warnings = [record.getMessage() for record in caplog.records if record.name == "datalyr.jobs"]
    assert len(warnings) == 1
    assert "await request.auser()" in warnings[0]
