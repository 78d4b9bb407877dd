"""What `manage.py check` says, and that it can say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core import checks
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application
from django.test import AsyncClient, Client, override_settings

from datalyr_core import ConfigurationError
from datalyr_django.settings import forget_client
from tests.django.conftest import AUTH, OURS, SESSION
from tests.support.scripts import Scripts

GOOD = {"API_KEY": "dk_1", "TRANSPORT": "httpx"}
KEY = "dk_s\u00e9cret"
BAD = {
    "API_KEY": KEY,
    "FLUSH_AT": "many",
    "COOKIE_DOMAIN": "a b",
    "RETRY_LIMT": 3,
    "DEBUG": "perhaps",
}
urlpatterns: list[Any] = []


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[SESSION, AUTH, OURS]):
        yield
    forget_client()


def told(setting: Any = GOOD) -> list[checks.CheckMessage]:
    with override_settings(DATALYR=setting):
        return [each for each in checks.run_checks() if str(each.id).startswith("datalyr.")]


def test_nothing_is_said_when_all_is_well() -> None:
    assert told() == []
    assert told({"ENABLED": False}) == []


def test_setting_that_is_missing() -> None:
    with override_settings():
        del settings.DATALYR
        (error,) = [each for each in checks.run_checks() if each.id == "datalyr.E001"]
    assert isinstance(error, checks.Error)
    assert "DATALYR is not set" in error.msg


def test_every_bad_value_is_named_in_one_message() -> None:
    (error,) = told(BAD)
    assert isinstance(error, checks.Error)
    assert error.id == "datalyr.E001"
    for name in ("api_key", "flush_at", "cookie_domain", "retry_limt", "'retry_limit'", "debug"):
        assert name in error.msg
    assert "cret" not in error.msg


def test_key_that_looks_like_none() -> None:
    (warning,) = told({**GOOD, "API_KEY": "pk_secret"})
    assert isinstance(warning, checks.Warning)
    assert warning.id == "datalyr.W001"
    assert "does not start with 'dk_'" in warning.msg
    assert "secret" not in f"{warning.msg} {warning.hint}"


@pytest.mark.parametrize(
    ("middleware", "count"),
    [([], "no times"), ([SESSION], "no times"), ([OURS, SESSION, OURS], "2 times")],
)
def test_middleware_that_is_missing_or_there_twice(middleware: Any, count: str) -> None:
    with override_settings(MIDDLEWARE=middleware):
        (warning,) = told()
    assert isinstance(warning, checks.Warning)
    assert warning.id == "datalyr.W002"
    assert count in warning.msg
    assert OURS in warning.msg


def test_command_prints_the_error() -> None:
    with override_settings(DATALYR=BAD), pytest.raises(SystemCheckError, match=r"datalyr\.E001"):
        call_command("check")


@override_settings(DATALYR=BAD)
@pytest.mark.parametrize(
    "serve",
    [get_wsgi_application, get_asgi_application, lambda: Client().get("/")],
)
def test_no_server_starts_with_a_broken_setting(serve: Any) -> None:
    with pytest.raises(ConfigurationError, match="flush_at"):
        serve()


@override_settings(DATALYR=BAD)
async def _ask() -> None:
    await AsyncClient().get("/")


def test_no_asynchronous_request_is_served_with_a_broken_setting() -> None:
    with pytest.raises(ConfigurationError, match="flush_at"):
        async_to_sync(_ask)()


MANAGE = """
    import sys
    from django.conf import settings
    from django.core.management import execute_from_command_line

    urlpatterns = []
    settings.configure(
        INSTALLED_APPS=["datalyr_django"],
        MIDDLEWARE=["datalyr_django.middleware.DatalyrMiddleware"],
        ROOT_URLCONF=__name__,
        DATALYR=%r,
    )
    execute_from_command_line(["manage.py", *%r])
"""


def test_manage_py_still_runs_with_a_broken_setting(scripts: Scripts) -> None:
    checked = scripts.run(MANAGE % (BAD, ["check"]))
    assert checked.code == 1
    assert "(datalyr.E001)" in checked.err
    assert "flush_at is 'many'" in checked.err
    assert "Traceback" not in checked.err
    assert "cret" not in checked.err + checked.out
    told = scripts.run(MANAGE % (BAD, ["diffsettings"]))
    assert told.code == 0
    assert "ROOT_URLCONF" in told.out


def test_manage_py_with_a_good_setting(scripts: Scripts) -> None:
    checked = scripts.run(MANAGE % (GOOD, ["check"]))
    assert (checked.code, checked.err) == (0, "")
    assert "no issues" in checked.out
