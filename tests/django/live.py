"""A project for real servers: streams, files, transactions and tasks.

gunicorn tests.django.live:wsgi
uvicorn tests.django.live:asgi
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import transaction
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

from datalyr_core import Config, current_tracker

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DATALYR={"API_KEY": "dk_live", "HOST": Config.from_env().host, "EXIT_TIMEOUT": 60},
    INSTALLED_APPS=["datalyr_django"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=["datalyr_django.middleware.DatalyrMiddleware"],
    ROOT_URLCONF=__name__,
)
django.setup()


def stream(request: Any) -> StreamingHttpResponse:
    def events() -> Iterator[bytes]:
        for number in range(3):
            request.datalyr.track("Ticked", {"number": number})
            yield f"data: {number}\n\n".encode()

    return StreamingHttpResponse(events(), content_type="text/event-stream")


async def astream(request: Any) -> StreamingHttpResponse:
    async def events() -> AsyncIterator[bytes]:
        for number in range(3):
            await asyncio.sleep(0)
            request.datalyr.track("Ticked", {"number": number})
            yield f"data: {number}\n\n".encode()

    return StreamingHttpResponse(events(), content_type="text/event-stream")


def file(request: Any) -> FileResponse:
    request.datalyr.track("Downloaded")
    return FileResponse(Path(__file__).open("rb"))


@transaction.atomic
def order(request: Any) -> HttpResponse:
    request.datalyr.on_commit.track("Ordered", {"fail": "fail" in request.GET})
    if "fail" in request.GET:
        transaction.set_rollback(True)
    return HttpResponse()


async def task(request: Any) -> HttpResponse:
    async def work() -> None:
        tracker = current_tracker()
        assert tracker is request.datalyr
        tracker.track("Worked")

    await asyncio.create_task(work())
    return HttpResponse()


urlpatterns = [
    path("stream", stream),
    path("astream", astream),
    path("file", file),
    path("order", order),
    path("task", task),
]

from django.core.wsgi import get_wsgi_application  # noqa: E402 - it needs the settings

from datalyr_django.asgi import get_asgi_application  # noqa: E402 - it needs the settings

wsgi = get_wsgi_application()
asgi = get_asgi_application()
