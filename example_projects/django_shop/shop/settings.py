"""Settings: what Django needs for a shop without a database, and Datalyr."""

import os
import secrets

# A random key ends all sessions at a restart, and several workers need a common one.
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_hex(32)
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
USE_TZ = True

INSTALLED_APPS = ["datalyr_django", "shop"]
MIDDLEWARE = [
    "datalyr_django.middleware.DatalyrMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        # The tag that loads the browser SDK looks at the request.
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
# Cookies do not tell ports apart: the shops on this machine need names of their own.
SESSION_COOKIE_NAME = "django_shop"

DATALYR = {
    "API_KEY": "dk_demo",
    "HOST": os.environ.get("DATALYR_HOST", "http://127.0.0.1:8765/track"),
    "FLUSH_INTERVAL": 1,  # a person is watching
    "SET_VISITOR_COOKIE": True,  # works without the browser SDK
    "USER_ID": "shop.views.user_id",
    "WORKSPACE_ID": os.environ.get("DATALYR_WORKSPACE_ID") or None,
}
