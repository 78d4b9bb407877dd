"""The sites: one interface over five frameworks, each run in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import override_settings

from datalyr_core import Datalyr, Event
from datalyr_core.testing import RecordingTransport
from datalyr_django.settings import forget_client, get_client
from tests.behaviour.gateway import Answer, call_asgi, call_wsgi
from tests.behaviour.sites import django_site, flask_site, starlette_site


class Site(ABC):
    """A site in some framework, with Datalyr mounted on it."""

    kind = "sync"  # of the views that it is mostly asked for

    def __init__(self, **options: Any) -> None:
        self.recorded = RecordingTransport()
        options = {"api_key": "dk_test", "transport": self.recorded, "concurrency": 1, **options}
        self.app = self.mount(options)

    @abstractmethod
    def mount(self, options: dict[str, Any]) -> Any:
        """Make the application."""

    @property
    @abstractmethod
    def client(self) -> Datalyr:
        """The client, once a request was served."""

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, *, scheme: str = "http"
    ) -> Answer:
        """Get a page by the path below its kind of view, such as `/buy?n=1`."""
        sent = {"Host": "shop.example", **(headers or {})}
        return self.call(f"/{self.kind}{path}", sent, scheme)

    def call(self, path: str, headers: Mapping[str, str], scheme: str) -> Answer:
        return call_wsgi(self.app, path, headers, scheme)

    def events(self) -> list[Event]:
        """The events that were delivered so far, in order."""
        self.client.flush(10)
        return [Event.from_body(body) for body in self.recorded.bodies]

    def close(self) -> None:
        self.client.close(10)


class FlaskSite(Site):
    def mount(self, options: dict[str, Any]) -> Any:
        return flask_site.make_app(**options)

    @property
    def client(self) -> Datalyr:
        return self.app.extensions["datalyr"]


class AsgiSite(Site):
    kind = "async"

    def call(self, path: str, headers: Mapping[str, str], scheme: str) -> Answer:
        return call_asgi(self.app, path, headers, scheme)


class StarletteSite(AsgiSite):
    def mount(self, options: dict[str, Any]) -> Any:
        return starlette_site.make_app(**options)

    @property
    def client(self) -> Datalyr:
        return self.app.state.datalyr


class FastApiSite(StarletteSite):
    def mount(self, options: dict[str, Any]) -> Any:
        from tests.behaviour.sites import fastapi_site  # optional, beside Starlette

        return fastapi_site.make_app(**options)


class DjangoSite(Site):
    make_app = staticmethod(get_wsgi_application)

    def mount(self, options: dict[str, Any]) -> Any:
        self.settings = ExitStack()
        self.settings.enter_context(
            override_settings(
                DATALYR=options,
                MIDDLEWARE=django_site.MIDDLEWARE,
                ROOT_URLCONF="tests.behaviour.sites.django_site",
                ALLOWED_HOSTS=["shop.example"],
            )
        )
        forget_client()
        return self.make_app()

    @property
    def client(self) -> Datalyr:
        return get_client()

    def close(self) -> None:
        forget_client()
        self.settings.close()


class DjangoAsgiSite(DjangoSite, AsgiSite):
    make_app = staticmethod(get_asgi_application)


SITES = {
    "django-wsgi": DjangoSite,
    "django-asgi": DjangoAsgiSite,
    "flask": FlaskSite,
    "starlette": StarletteSite,
    "fastapi": FastApiSite,
}

MakeSite = Callable[..., Site]


@pytest.fixture(params=SITES)
def make_site(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any
) -> Iterator[MakeSite]:
    """Make the site in each framework, with some options."""
    # That Django's own ASGI application answers no lifespan is not the matter here.
    monkeypatch.setattr("datalyr_django.asgi._warned", True)
    made: list[Site] = []

    def make(**options: Any) -> Site:
        made.append(SITES[request.param](**options))
        return made[-1]

    # No view here uses the database, but Django's handlers look after its connections.
    with django_db_blocker.unblock():
        yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    return make_site()
