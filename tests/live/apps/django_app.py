"""A Django project in one module, under WSGI (`wsgi`) and ASGI (`app`, below `/async`)."""

import asyncio
import time

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

from datalyr_core import Config
from tests.live.apps.ledger import PLAIN, note, plain_id, told_to_go_on

_config = None if PLAIN else Config.from_env()

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DEBUG=True,
    DATALYR=_config
    and {"API_KEY": "dk_live", "HOST": _config.host, "EXIT_TIMEOUT": _config.exit_timeout},
    INSTALLED_APPS=[] if PLAIN else ["datalyr_django", "tests.live.apps.commands"],
    MIDDLEWARE=[] if PLAIN else ["datalyr_django.middleware.DatalyrMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not one",
)
django.setup()


def _one(request: HttpRequest, kind: str) -> HttpResponse:
    event_id = plain_id() if PLAIN else request.datalyr.track("Live")
    return HttpResponse(note(event_id, kind))


def track(request: HttpRequest) -> HttpResponse:
    return _one(request, "load")


def slow(request: HttpRequest) -> HttpResponse:
    _one(request, "begun")
    while not told_to_go_on():
        time.sleep(0.05)
    return _one(request, "late")


def block(request: HttpRequest) -> HttpResponse:
    """Give nobody a turn, not even other greenlets."""
    _one(request, "block")
    while True:
        pass


async def atrack(request: HttpRequest) -> HttpResponse:
    return _one(request, "load")


async def aslow(request: HttpRequest) -> HttpResponse:
    _one(request, "begun")
    while not told_to_go_on():  # noqa: ASYNC110 - another process tells
        await asyncio.sleep(0.05)
    return _one(request, "late")


urlpatterns = [
    path("track", track),
    path("slow", slow),
    path("block", block),
    path("async/track", atrack),
    path("async/slow", aslow),
]

from django.core.wsgi import get_wsgi_application  # noqa: E402 - it needs the settings

wsgi = get_wsgi_application()
if PLAIN:
    from django.core.asgi import get_asgi_application
else:
    from datalyr_django.asgi import get_asgi_application
app = get_asgi_application()
