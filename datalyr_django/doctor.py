"""What `datalyr doctor` and `manage.py datalyr doctor` find in a Django project."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import registry
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.utils.module_loading import import_string

from datalyr_core import ConfigurationError
from datalyr_core.doctor.findings import Finding, Level, Mount, error, ok, skipped, warning
from datalyr_core.doctor.settings import check_problem
from datalyr_django.asgi import LifespanApplication
from datalyr_django.checks import MIDDLEWARE, register_checks
from datalyr_django.settings import read_config

AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
FETCH = "django.middleware.cache.FetchFromCacheMiddleware"
LIFESPAN = (
    "In asgi.py, import get_asgi_application from datalyr_django.asgi; a router has to pass "
    "'lifespan' on to it."
)
_SAID_BY_CORE = ("datalyr.E001", "datalyr.W001")  # of the configuration, in one finding each


def examine(app: object) -> Mount | None:
    """Tell how a Django application has Datalyr, or None when it is not Django's."""
    if isinstance(app, WSGIHandler):
        return project()
    if isinstance(app, ASGIHandler | LifespanApplication) or _routes(app):
        mount = project()
        return Mount(mount.config, [*mount.findings, check_lifespan(app)])
    return None


def project() -> Mount:
    """Tell how the project of the current settings has Datalyr."""
    findings = [*check_installed(), *check_stack(), *_system_checks()]
    try:
        return Mount(read_config(), findings)
    except ConfigurationError as problem:
        return Mount(None, [*findings, *check_problem(problem)])


def check_installed() -> Iterator[Finding]:
    """Check that the application is installed: it makes the client, in the main thread."""
    if not apps.is_installed("datalyr_django"):
        seen = "datalyr_django is not in INSTALLED_APPS"
        yield warning(
            "mount",
            f"{seen}: no system checks, no template tag, and the first request makes the client",
            'Add "datalyr_django" to INSTALLED_APPS.',
        )


def check_stack() -> Iterator[Finding]:
    """Tell where the middleware is, and what around it matters."""
    stack = list(settings.MIDDLEWARE or ())
    if MIDDLEWARE not in stack:
        return  # a system check says so
    place = stack.index(MIDDLEWARE)
    outside = [name.rpartition(".")[2] for name in stack[:place]]
    told = f"; {', '.join(outside)} before it cannot use request.datalyr" if outside else ""
    yield ok("mount", f"DatalyrMiddleware, number {place + 1} of {len(stack)}{told}")
    if apps.is_installed("django.contrib.auth") and AUTH not in stack:
        yield warning(
            "order",
            "django.contrib.auth is installed and its middleware is not: events name no user",
            f"Add {AUTH!r} to MIDDLEWARE, anywhere, or set the option USER_ID.",
        )
    if FETCH in stack[:place]:
        yield warning(
            "order",
            "FetchFromCacheMiddleware is before it: pages out of the cache do not come this far",
            "Move DatalyrMiddleware before it, if such visitors are to get the visitor cookie.",
        )


def check_asgi() -> Iterator[Finding]:
    """Check the ASGI application that a setting names, or the one of `startproject`."""
    named = getattr(settings, "ASGI_APPLICATION", None)
    usual = os.environ.get("DJANGO_SETTINGS_MODULE", "").rpartition(".")[0]
    path = named or (f"{usual}.asgi.application" if usual and find_spec(f"{usual}.asgi") else "")
    if not path:
        yield skipped("lifespan", "the project has no ASGI application")
        return
    try:
        found = check_lifespan(import_string(path))
    except Exception as problem:  # it is the project's code
        why = f"{path} cannot be imported: {type(problem).__name__}: {problem}"
        found = error("lifespan", why, "Correct it, or remove ASGI_APPLICATION.")
    if named or found.level is Level.OK:
        yield found
    else:  # every project has that file, and most are served by WSGI
        yield skipped("lifespan", f"matters under ASGI alone: {found.seen}", found.todo)


def check_lifespan(app: object) -> Finding:
    """Check that an ASGI application answers a server's lifespan messages."""
    routes = _routes(app)
    inner = routes.get("lifespan") if routes else app
    if isinstance(inner, LifespanApplication):
        return ok("lifespan", "the ASGI application closes the client when the server stops")
    if routes and inner is None:
        seen = f"the {type(app).__name__} passes no lifespan on: events may be lost at a stop"
    else:
        seen = "Django's own ASGI application answers no lifespan: events may be lost at a stop"
    return warning("lifespan", seen, LIFESPAN)


def _routes(app: object) -> dict[str, Any]:
    """Return what a router such as Channels' leads to, by the kind of connection."""
    routes = getattr(app, "application_mapping", None)
    return routes if isinstance(routes, dict) else {}


def _system_checks() -> Iterator[Finding]:
    """Make the system checks that are ours."""
    register_checks()  # once more does no harm, where the application is not installed
    for check in registry.registry.get_checks():
        if check.__module__.startswith("datalyr_django"):
            for message in check(app_configs=None, databases=None):
                if message.id not in _SAID_BY_CORE:
                    level = Level.ERROR if message.is_serious() else Level.WARNING
                    seen = f"{message.msg} ({message.id})"
                    yield Finding("check", level, seen, message.hint or "")
