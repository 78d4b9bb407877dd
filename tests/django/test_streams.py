"""Streams: what the view has tracked waits for no stream, what the stream tracks has its user."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.asgi import get_asgi_application
from django.db import connection
from django.http import StreamingHttpResponse
from django.test.utils import CaptureQueriesContext

from tests.django.accounts.models import Customer
from tests.django.chain import SYNC_ONLY
from tests.django.conftest import AUTH, OURS, SESSION, MakeSite

pytestmark = pytest.mark.django_db(transaction=True)

CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"


@pytest.fixture
def customer() -> Customer:
    return Customer.objects.create(name="grace")


async def tracks_before_and_in_its_stream(request: Any) -> StreamingHttpResponse:
    async def chunks() -> Any:
        request.datalyr.track("In the stream")
        yield b"a"

    request.datalyr.track("Before it")
    return StreamingHttpResponse(chunks(), headers={"ETag": '"1"'})


async def tracks_in_its_stream(request: Any) -> StreamingHttpResponse:
    async def chunks() -> Any:
        request.datalyr.track("In the stream")
        yield b"a"

    return StreamingHttpResponse(chunks())


@pytest.mark.parametrize("view", [tracks_before_and_in_its_stream, tracks_in_its_stream])
@pytest.mark.parametrize(
    "chain",
    [
        (SESSION, AUTH, OURS),
        (SESSION, AUTH, OURS, SYNC_ONLY),  # under ASGI, ours is then a synchronous one
        (OURS, SESSION, AUTH),
    ],
)
def test_user_of_a_stream(
    make_site: MakeSite, customer: Customer, view: Any, chain: tuple[str, ...]
) -> None:
    site = make_site(view, middleware=chain)
    site.log_in(customer)
    assert site.aread() == b"a"
    assert set(site.users) == {str(customer.pk)}
    assert site.events[-1].event == "In the stream"


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume asynchronous iterators")
@pytest.mark.parametrize("view", [tracks_before_and_in_its_stream, tracks_in_its_stream])
def test_user_of_an_asynchronous_stream_under_wsgi(
    make_site: MakeSite, customer: Customer, view: Any
) -> None:
    site = make_site(view)
    site.log_in(customer)
    assert site.read() == b"a"
    assert set(site.users) == {str(customer.pk)}
    assert site.events[-1].event == "In the stream"


@pytest.mark.parametrize("chain", [(), (SYNC_ONLY,)])
def test_stream_that_is_never_read(
    make_site: MakeSite, customer: Customer, chain: tuple[str, ...]
) -> None:
    """The browser knows the page already, so that Django throws the stream away."""
    order = (CONDITIONAL, SESSION, AUTH, OURS, *chain)
    site = make_site(tracks_before_and_in_its_stream, middleware=order)
    site.log_in(customer)
    assert site.aget(headers={"if-none-match": '"1"'}).status_code == 304
    assert [event.event for event in site.events] == ["Before it"]
    assert site.users == [str(customer.pk)]


def test_events_of_a_stream_wait_for_its_next_chunk_alone(
    make_site: MakeSite, customer: Customer
) -> None:
    """A stream may last for hours; one look-up tells the user of all of it."""
    accepted: list[int] = []

    async def view(request: Any) -> StreamingHttpResponse:
        async def chunks() -> Any:
            for _ in range(3):
                request.datalyr.track("Tick")
                yield b"."
                accepted.append(request.datalyr.client.stats.accepted)

        return StreamingHttpResponse(chunks())

    site = make_site(view)
    site.log_in(customer)
    with CaptureQueriesContext(connection) as asked:
        assert site.aread() == b"..."
    assert accepted == [1, 2, 3]
    assert site.users == [str(customer.pk)] * 3
    assert len(asked) == 2  # the session and the user


def test_browser_that_goes_before_the_stream_begins(
    make_site: MakeSite, customer: Customer
) -> None:
    site = make_site(tracks_before_and_in_its_stream)
    site.log_in(customer)
    cookies = "; ".join(f"{name}={each.value}" for name, each in site.browser.cookies.items())
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/async",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"cookie", cookies.encode())],
    }

    async def serve() -> None:
        messages = [{"type": "http.request", "body": b""}]
        begins = asyncio.Event()

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await begins.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            begins.set()
            await asyncio.Event().wait()  # the socket takes nothing any more

        await get_asgi_application()(scope, receive, send)

    async_to_sync(serve)()
    assert [event.event for event in site.events] == ["Before it"]
    assert site.users == [str(customer.pk)]
