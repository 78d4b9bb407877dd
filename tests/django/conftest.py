from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from datalyr_core import Datalyr, Event
from datalyr_core.testing import RecordingTransport
from datalyr_django import get_client
from datalyr_django.settings import forget_client
from tests.django.accounts.models import Customer

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
OURS = "datalyr_django.middleware.DatalyrMiddleware"

View = Callable[[Any], Any]


def as_async(view: View) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Make the same view for an event loop."""

    async def aview(request: HttpRequest) -> HttpResponseBase:
        return view(request)

    return aview


def buy(request: Any) -> HttpResponse:
    """A view that tracks one event and answers with its visitor."""
    request.datalyr.track("Bought")
    return HttpResponse(request.datalyr.anonymous_id)


def silent(request: Any) -> HttpResponse:
    return HttpResponse("nothing tracked")


class Site:
    """A project of one view, at `/sync` and at `/async`, asked under WSGI or ASGI."""

    def __init__(self, view: View, transport: RecordingTransport) -> None:
        self.transport = transport
        self.browser = Client(raise_request_exception=False)
        self.abrowser = AsyncClient(raise_request_exception=False)
        self._plain = "/async" if iscoroutinefunction(view) else "/sync"

    @property
    def client(self) -> Datalyr:
        return get_client()

    @property
    def events(self) -> list[Event]:
        self.client.flush(10)
        return [Event.from_body(body) for body in self.transport.bodies]

    @property
    def users(self) -> list[str | None]:
        return [event.user_id for event in self.events]

    def get(self, url: str = "", **options: Any) -> Any:
        """Ask through Django's WSGI handler."""
        return self.browser.get(self._full(url), **options)

    def aget(self, url: str = "", **options: Any) -> Any:
        """Ask through Django's ASGI handler; synchronous code runs in this thread."""
        return async_to_sync(self.abrowser.get)(self._full(url), **options)

    def read(self, url: str = "", **options: Any) -> bytes:
        """Get a stream under WSGI, to its end."""
        return b"".join(self.get(url, **options))

    def aread(self, url: str = "", **options: Any) -> bytes:
        """Get a stream under ASGI, to its end."""

        async def read() -> bytes:
            response = await self.abrowser.get(self._full(url), **options)
            return b"".join([chunk async for chunk in response])

        return async_to_sync(read)()

    def ask(self, way: str, query: str = "", **options: Any) -> Any:
        """Ask in one of `WAYS`."""
        server, view = way.split("-")
        get = self.get if server == "wsgi" else self.aget
        return get(f"/{view}{query}", **options)

    def log_in(self, customer: Customer) -> None:
        self.browser.force_login(customer)
        self.abrowser.cookies = self.browser.cookies

    def _full(self, url: str) -> str:
        return url if url.startswith("/") else f"{self._plain}{url}"


WAYS = ["wsgi-sync", "wsgi-async", "asgi-sync", "asgi-async"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """A kind of server with a kind of view."""
    return str(request.param)


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site() -> Iterator[MakeSite]:
    """Make the project with one view, a chain of middleware and some options of Datalyr."""
    with ExitStack() as stack:
        stack.callback(forget_client)

        def make(
            view: View = buy,
            *,
            urls: Any = None,
            middleware: tuple[str, ...] = (SESSION, AUTH, OURS),
            settings: dict[str, Any] | None = None,
            **options: Any,
        ) -> Site:
            transport = RecordingTransport()
            options = {"api_key": "dk_test", "transport": transport, "concurrency": 1, **options}
            changed = {
                "DATALYR": options,
                "MIDDLEWARE": middleware,
                "ROOT_URLCONF": urls or _urls(view),
                **(settings or {}),
            }
            stack.enter_context(override_settings(**changed))
            get_client()
            return Site(view, transport)

        yield make


def _urls(view: View) -> tuple[Any, ...]:
    if iscoroutinefunction(view):
        return (path("async", view),)
    return (path("sync", view), path("async", as_async(view)))


@pytest.fixture
def customer(db: None) -> Customer:
    return Customer.objects.create(name="ada")
