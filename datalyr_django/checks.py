"""System checks: what `manage.py check` says of the set-up."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks

from datalyr_core import ConfigurationError
from datalyr_django.settings import get_client

MIDDLEWARE = "datalyr_django.middleware.DatalyrMiddleware"


def register_checks() -> None:
    """Register the checks."""
    checks.register(check_setting)
    checks.register(check_middleware)


def check_setting(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check the setting DATALYR."""
    try:
        config = get_client().config
    except ConfigurationError as error:
        return [checks.Error(str(error), id="datalyr.E001")]
    if config.api_key and not config.api_key.startswith("dk_"):
        return [
            checks.Warning(
                "The API key in DATALYR does not start with 'dk_'.",
                hint="Copy the key from Datalyr's settings again.",
                id="datalyr.W001",
            )
        ]
    return []


def check_middleware(**kwargs: Any) -> list[checks.CheckMessage]:
    """Check that the middleware is there, once."""
    count = list(settings.MIDDLEWARE or ()).count(MIDDLEWARE)
    if count == 1:
        return []
    return [
        checks.Warning(
            f"The middleware {MIDDLEWARE!r} is in MIDDLEWARE {count or 'no'} times.",
            hint="Put it into MIDDLEWARE once; request.datalyr comes from it.",
            id="datalyr.W002",
        )
    ]
