"""The sites for real servers; Datalyr's options come from the environment.

gunicorn 'tests.behaviour.sites.served:flask()'
uvicorn --factory tests.behaviour.sites.served:fastapi
"""

from __future__ import annotations

from typing import Any

from datalyr_core.config import Config


def flask() -> Any:
    from datalyr_core import Datalyr
    from tests.behaviour.sites.flask_site import make_app

    return make_app(client=Datalyr(Config.from_env()))


def starlette() -> Any:
    from tests.behaviour.sites.starlette_site import make_app

    return make_app()


def fastapi() -> Any:
    from tests.behaviour.sites.fastapi_site import make_app

    return make_app()


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def django_asgi() -> Any:
    from datalyr_django.asgi import get_asgi_application

    return get_asgi_application()
