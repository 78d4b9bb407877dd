"""The applications that servers serve."""

from __future__ import annotations

from typing import NamedTuple


class App(NamedTuple):
    """An application: what it is called, where it is, and where its views are."""

    name: str
    target: str
    prefix: str = ""


FLASK = App("Flask", "tests.live.apps.flask_app:app")
DJANGO = App("Django", "tests.live.apps.django_app:wsgi")
DJANGO_ASGI = App("Django", "tests.live.apps.django_app:app", "/async")
STARLETTE = App("Starlette", "tests.live.apps.starlette_app:app")
FASTAPI = App("FastAPI", "tests.live.apps.fastapi_app:app")
