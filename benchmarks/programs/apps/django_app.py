from __future__ import annotations

from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

from benchmarks.programs.apps import NAME, OPTIONS, PROPERTIES, page


def products(request: HttpRequest) -> HttpResponse:
    if OPTIONS:
        request.datalyr.track(NAME, PROPERTIES)  # type: ignore[attr-defined]  # the plugin's
    return HttpResponse(page(), content_type="application/json")


class Urls:
    urlpatterns = (path("", products),)


chain = ["django.middleware.common.CommonMiddleware"]  # it says how long an answer is
plugged: dict[str, Any] = {"MIDDLEWARE": chain}
if OPTIONS:
    plugged = {
        "INSTALLED_APPS": ["datalyr_django"],
        "MIDDLEWARE": [*chain, "datalyr_django.middleware.DatalyrMiddleware"],
        "DATALYR": {name.upper(): value for name, value in OPTIONS.items()},
    }
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=Urls, **plugged)
django.setup()

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402 - after the set-up

app = WSGIHandler()
