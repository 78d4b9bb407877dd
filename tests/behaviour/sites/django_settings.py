"""The settings of the site in Django under a real server."""

from __future__ import annotations

import os

from datalyr_core import Config
from tests.behaviour.sites import django_site

SECRET_KEY = "not a secret"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.behaviour.sites.django_site"
INSTALLED_APPS = ["datalyr_django"]
MIDDLEWARE = django_site.MIDDLEWARE
DATALYR = {
    name.removeprefix("DATALYR_"): value
    for name, value in os.environ.items()
    if name.startswith("DATALYR_") and name.removeprefix("DATALYR_").lower() in Config.NAMES
}
LOGGING_CONFIG = None
