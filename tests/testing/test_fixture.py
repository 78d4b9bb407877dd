"""The fixture `datalyr_events` in projects of users, beside the plugins that they use."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

pytestmark = pytest.mark.timeout(180)  # processes that a busy machine takes its time with

SHOP = """
    from datalyr_core import Datalyr

    client = Datalyr.from_env()
"""


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("shop.py", SHOP)
    return project


def test_clients_of_the_module_and_of_the_test_in_functions_classes_and_threads(
    shop: Project,
) -> None:
    shop.write(
        "test_shop.py",
        """
        import threading
        import unittest

        import pytest
        from datalyr_core import Datalyr, Event
        from datalyr_core.testing import assert_not_tracked, assert_tracked
        from shop import client


        @pytest.fixture
        def buyer():
            client.track("7", "Signed Up")
            return "7"


        def test_function(datalyr_events, buyer):
            with Datalyr.from_env(api_key="dk_other") as other:
                other.track(buyer, "Bought", {"price": 9})
            assert [type(each) for each in datalyr_events] == [Event, Event]
            datalyr_events.assert_tracked("Signed Up", user_id="7")
            assert_tracked("Bought", price=9)
            assert_not_tracked("Refunded")


        def test_the_next_test_begins_with_nothing(datalyr_events):
            assert datalyr_events == []


        class TestClass:
            @pytest.mark.parametrize("count", [1, 2])
            def test_threads(self, datalyr_events, count):
                threads = [
                    threading.Thread(target=client.track, args=("u", "E")) for _ in range(count)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert len(datalyr_events) == count


        @pytest.mark.usefixtures("datalyr_events")
        class TestUnittest(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def events(self, datalyr_events):
                self.events = datalyr_events

            def test_it(self):
                client.track("u", "E")
                assert [event.event for event in self.events] == ["E"]
        """,
    )
    ran = shop.pytest()
    assert ran.counts == {"passed": 5}, ran.text


def test_a_failure_shows_what_was_tracked_and_none_of_our_code(shop: Project) -> None:
    shop.write(
        "test_shop.py",
        """
        from datalyr_core.testing import assert_not_tracked, assert_tracked
        from shop import client


        def test_method(datalyr_events):
            client.track(7, "Signed Up", {"plan": "free"})
            datalyr_events.assert_tracked("Signed Up", plan="pro")


        def test_function(datalyr_events):
            client.track(7, "Signed Up", {"plan": "free"})
            assert_tracked("Signed Up", plan="pro")


        def test_not(datalyr_events):
            client.track(7, "Signed Up", {"plan": "free"})
            assert_not_tracked("Signed Up")


        def test_no_fixture():
            assert_tracked("Signed Up")
        """,
    )
    ran = shop.pytest()
    assert ran.counts == {"failed": 4}, ran.text
    assert ran.text.count("properties.plan: expected 'pro', was 'free'") >= 2
    assert "1. 'Signed Up' user_id='7' {'plan': 'free'}" in ran.text
    assert "RuntimeError: nothing is being recorded" in ran.text
    assert "recorded_events.py" not in ran.text
    assert "datalyr_core/testing.py" not in ran.text


def test_beside_pytest_asyncio_and_anyio(shop: Project) -> None:
    pytest.importorskip("pytest_asyncio")
    shop.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    shop.write(
        "test_shop.py",
        """
        import asyncio

        import anyio.to_thread
        import pytest
        import pytest_asyncio
        from shop import client


        async def buy():
            client.track("u", "Loop")
            await anyio.to_thread.run_sync(client.track, "u", "Thread")


        @pytest_asyncio.fixture
        async def bought(datalyr_events):
            await asyncio.create_task(buy())


        @pytest.mark.asyncio
        async def test_asyncio(bought, datalyr_events):
            assert [event.event for event in datalyr_events] == ["Loop", "Thread"]
            assert await client.aflush()


        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
        async def test_anyio(datalyr_events, anyio_backend):
            await buy()
            assert [event.event for event in datalyr_events] == ["Loop", "Thread"]
        """,
    )
    ran = shop.pytest(beside="asyncio")
    assert ran.counts == {"passed": 3}, ran.text


def test_in_the_workers_of_xdist(shop: Project) -> None:
    pytest.importorskip("xdist")
    shop.write(
        "test_shop.py",
        """
        import os

        import pytest
        from shop import client


        @pytest.mark.parametrize("number", range(6))
        def test_it(datalyr_events, number):
            assert os.environ["PYTEST_XDIST_WORKER"]
            client.track("u", f"E{number}")
            assert [event.event for event in datalyr_events] == [f"E{number}"]
        """,
    )
    ran = shop.pytest("-n2", beside="xdist")
    assert ran.counts["passed"] == 6, ran.text
    assert ran.code == 0


def test_beside_pytest_django(project: Project) -> None:
    pytest.importorskip("pytest_django")
    project.write("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = settings\n")
    project.write(
        "settings.py",
        """
        import os

        SECRET_KEY = "s"
        ALLOWED_HOSTS = ["*"]
        INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "datalyr_django"]
        MIDDLEWARE = ["datalyr_django.middleware.DatalyrMiddleware"]
        ROOT_URLCONF = "urls"
        STATIC_URL = "/static/"
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
        DATALYR = {"API_KEY": "dk_test", "HOST": os.environ["DATALYR_HOST"]}
        """,
    )
    project.write(
        "urls.py",
        """
        from django.db import transaction
        from django.http import HttpResponse
        from django.urls import path


        def buy(request):
            transaction.on_commit(lambda: request.datalyr.track("Committed"))
            request.datalyr.track("Bought", {"price": 9})
            return HttpResponse("fine")


        async def abuy(request):
            request.datalyr.track("Bought", {"price": 9})
            return HttpResponse("fine")


        urlpatterns = [path("buy", buy), path("abuy", abuy)]
        """,
    )
    project.write(
        "test_shop.py",
        """
        from urllib.request import urlopen

        import pytest


        def names(events):
            return [event.event for event in events]


        def test_client(client, db, datalyr_events):
            client.cookies["__dl_visitor_id"] = "anon_1"
            client.get("/buy")
            datalyr_events.assert_tracked("Bought", anonymous_id="anon_1", price=9)
            assert names(datalyr_events) == ["Bought"]  # a test's transaction is never committed


        def test_commit(client, transactional_db, datalyr_events):
            client.get("/buy")
            assert names(datalyr_events) == ["Committed", "Bought"]


        def test_captured_commit(client, db, datalyr_events, django_capture_on_commit_callbacks):
            with django_capture_on_commit_callbacks(execute=True):
                client.get("/buy")
            assert names(datalyr_events) == ["Bought", "Committed"]


        def test_live_server(live_server, datalyr_events):
            assert urlopen(f"{live_server}/buy").read() == b"fine"
            assert urlopen(f"{live_server}/abuy").read() == b"fine"
            datalyr_events.assert_tracked("Bought", price=9, count=2)


        def test_async_client(async_client, datalyr_events):
            from asgiref.sync import async_to_sync

            async_to_sync(async_client.get)("/abuy")
            datalyr_events.assert_tracked("Bought", count=1)


        def test_changed_settings(client, db, settings, datalyr_events):
            settings.DATALYR = {"ENABLED": False}
            client.get("/buy")
            datalyr_events.assert_tracked("Bought", count=1)
        """,
    )
    ran = project.pytest(beside="django")
    assert ran.counts == {"passed": 6}, ran.text


def test_applications_of_flask_starlette_and_fastapi_at_module_level(project: Project) -> None:
    pytest.importorskip("flask")
    pytest.importorskip("fastapi")
    project.write(
        "test_shop.py",
        """
        import flask
        from datalyr_flask import FlaskDatalyr
        from datalyr_starlette import DatalyrMiddleware, DatalyrRequest
        from datalyr_starlette.fastapi import DatalyrDep
        from fastapi import FastAPI
        from starlette.applications import Starlette
        from starlette.background import BackgroundTask
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        from starlette.testclient import TestClient

        app = flask.Flask(__name__)
        app.config["DATALYR_API_KEY"] = "dk_test"
        FlaskDatalyr(app)


        @app.get("/buy")
        def buy():
            flask.request.datalyr.track("Bought")
            return "fine"


        async def abuy(request):
            request.datalyr.track("Bought")
            return PlainTextResponse("", background=BackgroundTask(request.datalyr.track, "Packed"))


        star = Starlette(routes=[Route("/buy", abuy)])
        star.add_middleware(DatalyrMiddleware)
        fast = FastAPI()
        fast.add_middleware(DatalyrMiddleware)


        @fast.get("/buy")
        def fbuy(datalyr: DatalyrDep):
            datalyr.track("Bought")


        def test_flask(datalyr_events):
            app.test_client().get("/buy")
            datalyr_events.assert_tracked("Bought", count=1)


        def test_starlette(datalyr_events):
            TestClient(star).get("/buy")
            with TestClient(star) as browser:  # with its lifespan, which closes the client
                browser.get("/buy")
            TestClient(star).get("/buy")
            assert [event.event for event in datalyr_events] == 3 * ["Bought", "Packed"]


        def test_fastapi(datalyr_events):
            with TestClient(fast) as browser:
                browser.get("/buy")
            datalyr_events.assert_tracked("Bought", count=1)
        """,
    )
    ran = project.pytest()
    assert ran.counts == {"passed": 3}, ran.text


def test_the_plugin_imports_nothing_that_is_heavy(project: Project) -> None:
    project.write(
        "test_nothing.py",
        """
        import sys


        def test_nothing():
            heavy = {"httpx", "httpcore", "django", "flask", "starlette", "datalyr_core.testing"}
            assert "datalyr_core.pytest_plugin" in sys.modules
            assert not heavy & sys.modules.keys()
        """,
    )
    ran = project.pytest("-pno:anyio")
    assert ran.counts == {"passed": 1}, ran.text
