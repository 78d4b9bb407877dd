"""Tasks and threads that a view starts: each knows the tracker of its own request."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpResponse, StreamingHttpResponse

from datalyr_core import current_tracker
from tests.django.accounts.models import Customer
from tests.django.conftest import MakeSite, Site

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def customer() -> Customer:
    return Customer.objects.create(name="kay")


def note(name: str) -> Any:
    """Track by whatever tracker is the current one here."""
    tracker = current_tracker()
    if tracker is not None:
        tracker.track(name)
    return tracker


async def anote(name: str) -> Any:
    await asyncio.sleep(0)
    return note(name)


async def in_tasks(request: Any) -> HttpResponse:
    task = asyncio.create_task(anote("In a task"))
    gathered = await asyncio.gather(anote("In one of two"), anote("In one of two"))
    assert {await task, *gathered} == {request.datalyr}
    return HttpResponse()


async def in_threads_of_the_loop(request: Any) -> HttpResponse:
    assert await sync_to_async(note)("By sync_to_async") is request.datalyr
    apart = sync_to_async(note, thread_sensitive=False)
    assert await apart("In a thread of its own") is request.datalyr
    assert await asyncio.to_thread(note, "By to_thread") is request.datalyr
    return HttpResponse()


def in_a_pool(request: Any) -> HttpResponse:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(note, "Nobody's").result() is None  # a pool copies no context
        known = pool.submit(copy_context().run, note, "With the context")
        assert known.result() is request.datalyr
        assert pool.submit(note, "Nobody's").result() is None  # and nothing stays in its thread
    return HttpResponse()


@pytest.mark.parametrize(
    ("view", "names"),
    [
        (in_tasks, {"In a task", "In one of two"}),
        (in_threads_of_the_loop, {"By sync_to_async", "In a thread of its own", "By to_thread"}),
    ],
)
@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_what_an_asynchronous_view_starts(
    make_site: MakeSite, server: str, view: Any, names: set[str]
) -> None:
    site = make_site(view)
    site.browser.cookies["__dl_visitor_id"] = "v1"
    site.abrowser.cookies["__dl_visitor_id"] = "v1"
    assert site.ask(f"{server}-async").status_code == 200
    assert {event.event for event in site.events} == names
    assert {event.anonymous_id for event in site.events} == {"v1"}


@pytest.mark.parametrize("server", ["wsgi", "asgi"])
def test_pool_of_a_synchronous_view(make_site: MakeSite, server: str) -> None:
    site = make_site(in_a_pool, middleware=("datalyr_django.middleware.DatalyrMiddleware",))
    assert site.ask(f"{server}-sync").status_code == 200
    assert [event.event for event in site.events] == ["With the context"]


async def concurrently(site: Site, visitors: list[str]) -> None:
    answers = await asyncio.gather(
        *(
            site.abrowser.get("/async", headers={"cookie": f"__dl_visitor_id={visitor}"})
            for visitor in visitors
        )
    )
    assert {answer.status_code for answer in answers} == {200}


def test_concurrent_requests_keep_apart(make_site: MakeSite) -> None:
    visitors = [f"v{number}" for number in range(8)]
    all_there = asyncio.Barrier(len(visitors))

    async def view(request: Any) -> HttpResponse:
        note("First")
        await all_there.wait()  # every request is in the middle of its view
        await asyncio.gather(anote("In a task"), asyncio.to_thread(note, "In a thread"))
        assert current_tracker() is request.datalyr
        return HttpResponse()

    site = make_site(view)
    async_to_sync(concurrently)(site, visitors)
    assert sorted((event.anonymous_id, event.event) for event in site.events) == sorted(
        (visitor, name) for visitor in visitors for name in ("First", "In a task", "In a thread")
    )


def test_task_that_outlives_its_request_tracks_its_visitor(make_site: MakeSite) -> None:
    async def serve(site: Site) -> None:
        await site.abrowser.get("/async", headers={"cookie": "__dl_visitor_id=v1"})
        served.set()
        assert await tasks[0] is not current_tracker()

    async def later() -> Any:
        await served.wait()
        return note("Late")

    async def view(request: Any) -> HttpResponse:
        tasks.append(asyncio.create_task(later()))
        return HttpResponse()

    served = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []
    site = make_site(view)
    async_to_sync(serve)(site)
    assert [(event.event, event.anonymous_id) for event in site.events] == [("Late", "v1")]


def test_late_task_that_lost_its_user_is_warned_about_once(
    make_site: MakeSite,
    customer: Customer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datalyr_core.warn_once._given", set())
    kept: list[Any] = []

    async def view(request: Any) -> HttpResponse:
        kept.append(request.datalyr)
        return HttpResponse()

    async def later() -> None:
        kept[0].track("Late")
        kept[0].on_commit.track("Later")

    site = make_site(view)
    site.log_in(customer)
    site.aget()
    async_to_sync(later)()
    assert site.users == [None, None]
    warnings = [each for each in caplog.records if each.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "set request.datalyr.user_id" in warnings[0].getMessage()


@pytest.mark.parametrize("asks", [True, False])
def test_late_task_whose_view_has_asked_for_the_user(
    make_site: MakeSite, customer: Customer, asks: bool, caplog: pytest.LogCaptureFixture
) -> None:
    kept: list[Any] = []

    async def view(request: Any) -> HttpResponse:
        if asks:
            await request.auser()
        else:
            request.datalyr.user_id = "said"
        kept.append(request.datalyr)
        return HttpResponse()

    async def later() -> None:
        kept[0].track("Late")

    site = make_site(view)
    site.log_in(customer)
    site.aget()
    async_to_sync(later)()
    assert site.users == [str(customer.pk) if asks else "said"]
    assert [each for each in caplog.records if each.levelname == "WARNING"] == []


def test_server_sent_events_of_two_visitors_at_once(make_site: MakeSite) -> None:
    both_stream = asyncio.Barrier(2)

    async def view(request: Any) -> StreamingHttpResponse:
        async def events() -> Any:
            for number in range(3):
                await both_stream.wait()  # they take turns
                request.datalyr.track("Tick", {"number": number})
                yield f"data: {number}\n\n".encode()

        return StreamingHttpResponse(events(), content_type="text/event-stream")

    async def read(visitor: str) -> bytes:
        headers = {"cookie": f"__dl_visitor_id={visitor}"}
        response: Any = await site.abrowser.get("/async", headers=headers)
        assert response.headers["Content-Type"] == "text/event-stream"
        return b"".join([chunk async for chunk in response])

    async def both() -> list[bytes]:
        return list(await asyncio.gather(read("v1"), read("v2")))

    site = make_site(view, set_visitor_cookie=True)
    assert async_to_sync(both)() == [b"data: 0\n\ndata: 1\n\ndata: 2\n\n"] * 2
    assert sorted((event.anonymous_id, event.properties["number"]) for event in site.events) == [
        (visitor, number) for visitor in ("v1", "v2") for number in range(3)
    ]


def test_thread_that_a_view_leaves_behind(make_site: MakeSite, way: str) -> None:
    """It knows its visitor by the tracker that it was given."""
    threads: list[threading.Thread] = []
    served = threading.Event()

    def late(tracker: Any) -> None:
        assert served.wait(20)
        tracker.track("Late")

    def view(request: Any) -> HttpResponse:
        threads.append(threading.Thread(target=late, args=[request.datalyr]))
        threads[0].start()
        return HttpResponse()

    site = make_site(view, middleware=("datalyr_django.middleware.DatalyrMiddleware",))
    site.ask(way, headers={"cookie": "__dl_visitor_id=v1"})
    served.set()
    threads[0].join(20)
    assert [(event.event, event.anonymous_id) for event in site.events] == [("Late", "v1")]
