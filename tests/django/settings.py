"""A small project. Datalyr is off in it; the tests that want it give it a client that records."""

from __future__ import annotations

SECRET_KEY = "not a secret"
ALLOWED_HOSTS = ["testserver", "shop.example"]
DATALYR = {"ENABLED": False}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "tests.django.accounts",
    "datalyr_django",
]
AUTH_USER_MODEL = "accounts.Customer"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "datalyr_django.middleware.DatalyrMiddleware",
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
# Tables straight from the models: there is nothing to migrate.
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "sessions": None}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
USE_TZ = True
LOGGING_CONFIG = None  # pytest's own
