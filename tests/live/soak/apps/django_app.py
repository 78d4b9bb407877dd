"""The Django project of the soak, in one module."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path

from tests.live.soak.apps import USER_HEADER, views
from tests.live.soak.apps.views import Visit


def user_of(request: HttpRequest) -> str | None:
    return request.headers.get(USER_HEADER)


settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATALYR={**views.options(), "USER_ID": user_of},
    INSTALLED_APPS=["datalyr_django"],
    MIDDLEWARE=["datalyr_django.middleware.DatalyrMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not one",
)
django.setup()

from datalyr_django import get_client  # noqa: E402 - it needs the settings


def track(request: HttpRequest) -> HttpResponse:
    return HttpResponse(views.one(request.datalyr, Visit.of(request.GET.dict()), 0))


def several(request: HttpRequest) -> HttpResponse:
    return HttpResponse("".join(views.several(request.datalyr, Visit.of(request.GET.dict()))))


def stream(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(views.several(request.datalyr, Visit.of(request.GET.dict())))


def fork(request: HttpRequest) -> HttpResponse:
    visit, many = Visit.of(request.GET.dict()), int(request.GET["many"])
    return HttpResponse(views.fork(get_client(), visit, request.GET["method"], many))


def stats(request: HttpRequest) -> HttpResponse:
    return HttpResponse(views.counts(get_client()))


urlpatterns = [
    path(view.__name__, view)  # named as everywhere
    for view in (track, several, stream, fork, stats)
]
app = get_wsgi_application()
