"""From `settings.DATALYR` to the process's client."""

from __future__ import annotations

import signal
import threading
from collections.abc import ItemsView, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

from datalyr_core import ConfigurationError
from datalyr_core.testing import RecordingTransport
from datalyr_django import get_client
from datalyr_django.settings import forget_client
from tests.django.conftest import OURS, MakeSite
from tests.support.ingest import IngestServer
from tests.support.scripts import Scripts

OFF = {"ENABLED": False}
BROKEN = "tests.django.broken"  # a module that cannot be imported
NOWHERE = ["no.such.module", f"{__name__}.no_such_name", ".a", ".a.b", "a.", f"{BROKEN}.hook"]


@pytest.fixture(autouse=True)
def client_of_this_test() -> Iterator[None]:
    forget_client()
    yield
    forget_client()


def a_function(*args: Any) -> None:
    """Be named by a dotted path."""


def test_setting_that_is_missing() -> None:
    with override_settings():
        del settings.DATALYR
        with pytest.raises(ConfigurationError, match=r'not set; write DATALYR = \{"API_KEY"'):
            get_client()


@pytest.mark.parametrize("value", ["dk_secret", ["dk_secret"], 7])
def test_setting_that_is_no_mapping(value: Any) -> None:
    with override_settings(DATALYR=value), pytest.raises(ConfigurationError) as raised:
        get_client()
    assert f"DATALYR is a {type(value).__name__}; write DATALYR =" in str(raised.value)
    assert "dk_secret" not in str(raised.value)


@pytest.mark.parametrize("value", [{}, None, {"API_KEY": ""}])
def test_key_that_is_missing(value: Any) -> None:
    with (
        override_settings(DATALYR=value),
        pytest.raises(ConfigurationError, match=r"API_KEY|api_k"),
    ):
        get_client()


def test_names_may_be_in_any_case() -> None:
    given = MappingProxyType({**OFF, "Flush_At": 3, "retry_limit": 4, "COOKIE_NAME": "who"})
    with override_settings(DATALYR=given):
        config = get_client().config
    assert (config.flush_at, config.retry_limit, config.cookie_name) == (3, 4, "who")


HOOKS = ["ON_ERROR", "on_drop", "Before_Send", "USER_ID", "EXCLUDE"]


@pytest.mark.parametrize("name", HOOKS)
def test_function_by_its_dotted_path(name: str) -> None:
    with override_settings(DATALYR={**OFF, name: f"{__name__}.a_function"}):
        assert getattr(get_client().config, name.lower()) is a_function


@pytest.mark.parametrize("name", HOOKS)
def test_function_itself(name: str) -> None:
    with override_settings(DATALYR={**OFF, name: a_function}):
        assert getattr(get_client().config, name.lower()) is a_function


@pytest.mark.parametrize("path", NOWHERE)
def test_dotted_path_that_leads_nowhere(path: str) -> None:
    with (
        override_settings(DATALYR={**OFF, "ON_DROP": path}),
        pytest.raises(ConfigurationError) as raised,
    ):
        get_client()
    assert f"on_drop is {path!r}, which cannot be imported (" in str(raised.value)
    assert raised.value.__cause__ is not None


def test_all_problems_are_in_one_error() -> None:
    given = {"ON_DROP": "no.such", "EXCLUDE": "nor.this", "HOTS": "x", "FLUSH_AT": "many"}
    with override_settings(DATALYR=given), pytest.raises(ConfigurationError) as raised:
        get_client()
    for told in (
        "on_drop is 'no.such', which cannot be imported (No module named 'no')",
        "exclude is 'nor.this', which cannot be imported (No module named 'nor')",
        "hots is no option; write 'host'",
        "flush_at is 'many'",
        "api_key is missing",
    ):
        assert told in str(raised.value)


def test_paths_of_pages_are_no_dotted_paths() -> None:
    with override_settings(DATALYR={**OFF, "EXCLUDE": "/healthz, /robots.txt"}):
        assert get_client().config.exclude == ("/healthz", "/robots.txt")


def test_other_options_are_no_dotted_paths() -> None:
    path = f"{__name__}.a_function"
    with override_settings(DATALYR={**OFF, "COOKIE_DOMAIN": "shop.example", "WORKSPACE_ID": path}):
        config = get_client().config
    assert (config.cookie_domain, config.workspace_id) == ("shop.example", path)


def test_changed_setting_makes_a_new_client_and_closes_the_former() -> None:
    before = get_client()
    transport = RecordingTransport()
    with override_settings(DATALYR={"API_KEY": "dk_1", "TRANSPORT": transport}):
        assert before.closed
        within = get_client()
        assert within.config.api_key == "dk_1"
        assert get_client() is within
        within.track("u1", "Waits")
        assert transport.bodies == []
    assert within.closed
    assert len(transport.bodies) == 1
    assert not get_client().closed
    assert get_client().config.enabled is False  # as this project's settings say


def test_forgetting_waits_no_longer_than_an_exit_may() -> None:
    class Away:
        def send(self, body: bytes) -> Any:
            raise ConnectionError("the ingest is away")

    given = {"API_KEY": "dk_1", "TRANSPORT": Away(), "EXIT_TIMEOUT": 0, "CLOSE_TIMEOUT": 60}
    with override_settings(DATALYR=given):
        client = get_client()
        client.track("u1", "Lost")
    assert client.stats.dropped == {"close_timeout": 1}


def test_unrelated_setting_keeps_the_client() -> None:
    before = get_client()
    with override_settings(LANGUAGE_CODE="de"):
        assert get_client() is before
    assert get_client() is before
    assert not before.closed


def test_middleware_follows_the_setting(make_site: MakeSite) -> None:
    site = make_site(middleware=(OURS,))
    site.get()
    other = RecordingTransport()
    with override_settings(DATALYR={"API_KEY": "dk_2", "TRANSPORT": other}):
        site.get()
        get_client().flush(10)
    assert (len(site.transport.bodies), len(other.bodies)) == (1, 1)


def test_threads_that_ask_at_once_get_one_client() -> None:
    both = threading.Barrier(2)

    class Waits(dict[str, Any]):
        def items(self) -> ItemsView[str, Any]:
            both.wait(10)  # until the other thread also has found no client
            return super().items()

    with override_settings(DATALYR=Waits(OFF)), ThreadPoolExecutor(2) as threads:
        first, second = [threads.submit(get_client) for _ in range(2)]
        assert first.result(20) is second.result(20)


def test_client_of_the_first_request_is_that_of_the_main_thread(
    scripts: Scripts, ingest: IngestServer
) -> None:
    """Only the main thread can look after SIGTERM; a request is served by another."""
    ended = scripts.run(
        """
        import os, signal, threading, time
        import django
        from django.conf import settings
        settings.configure(
            INSTALLED_APPS=["datalyr_django"],
            DATALYR={"API_KEY": "dk_1", "HOST": os.environ["DATALYR_HOST"]},
        )
        django.setup()
        assert threading.active_count() == 1
        from datalyr_django import get_client
        request = threading.Thread(target=lambda: get_client().track("u", "E"))
        request.start()
        request.join()
        os.kill(os.getpid(), signal.SIGTERM)
        while True:
            time.sleep(0.05)
        """
    )
    assert (ended.code, ended.err) == (-signal.SIGTERM, "")
    assert ingest.names == ["E"]
