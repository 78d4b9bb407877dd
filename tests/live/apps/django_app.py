"""A Django project in one module, under WSGI (`wsgi`) and ASGI (`app`)."""

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

from datalyr_core import Config

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATALYR={"API_KEY": "dk_live", "HOST": Config.from_env().host},
    INSTALLED_APPS=["datalyr_django"],
    MIDDLEWARE=["datalyr_django.middleware.DatalyrMiddleware"],
    ROOT_URLCONF=__name__,
)
django.setup()


async def track(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.datalyr.track("Live", {"n": request.GET.get("n")}))


urlpatterns = [path("track", track)]

from django.core.wsgi import get_wsgi_application  # noqa: E402 - it needs the settings

from datalyr_django.asgi import get_asgi_application  # noqa: E402 - it needs the settings

wsgi = get_wsgi_application()
app = get_asgi_application()
