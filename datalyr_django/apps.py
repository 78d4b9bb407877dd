"""The application configuration: checks, and the client made in the main thread."""

from __future__ import annotations

from contextlib import suppress

from django.apps import AppConfig
from django.core.signals import setting_changed

from datalyr_core.errors import ConfigurationError


class DatalyrConfig(AppConfig):
    """Set Datalyr up with Django."""

    name = "datalyr_django"
    verbose_name = "Datalyr"

    def ready(self) -> None:
        """Make the client here: only the main thread can look after SIGTERM.

        A wrong setting is left to the system checks and to the middleware, so that
        `manage.py` still runs and can say what is wrong.
        """
        from django.contrib.auth.signals import user_logged_out

        from datalyr_django import checks, settings
        from datalyr_django.web_request import settle_before_logout

        checks.register_checks()
        setting_changed.connect(settings.forget_client, dispatch_uid="datalyr")
        user_logged_out.connect(settle_before_logout, dispatch_uid="datalyr")
        with suppress(ConfigurationError):
            settings.get_client()
