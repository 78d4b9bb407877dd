"""`DatalyrTestMixin` under unittest and under Django's own test command."""

from __future__ import annotations

import pytest

from tests.support.projects import Project

pytestmark = pytest.mark.timeout(180)  # processes that a busy machine takes its time with


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("shop.py", "from datalyr_core import Datalyr\n\nclient = Datalyr.from_env()\n")
    return project


TESTS = """
    import unittest

    from datalyr_core.testing import DatalyrTestMixin, assert_tracked
    from shop import client


    class Tests(DatalyrTestMixin, unittest.TestCase):
        def setUp(self):  # which forgets its super()
            client.track("7", "Signed Up", {"plan": "pro"})

        def test_assertions(self):
            event = self.assertTracked("Signed Up", user_id=7, plan="pro", count=1)
            self.assertIs(event, self.datalyr_events[0])
            assert_tracked("Signed Up")
            self.assertNotTracked("Refunded")

        def test_each_test_has_its_own(self):
            self.assertEqual(len(self.datalyr_events), 1)

        def test_failures(self):
            with self.assertRaisesRegex(AssertionError, "expected 'free', was 'pro'"):
                self.assertTracked("Signed Up", plan="free")
            with self.assertRaisesRegex(AssertionError, "was tracked once"):
                self.assertNotTracked("Signed Up")

        def test_subtests(self):
            for number in (2, 3):
                with self.subTest(number):
                    client.track("7", "E")
                    self.assertEqual(len(self.datalyr_events), number)


    class AsyncTests(DatalyrTestMixin, unittest.IsolatedAsyncioTestCase):
        async def asyncSetUp(self):
            client.track("7", "Signed Up")

        async def test_it(self):
            client.track("7", "Bought")
            names = [event.event for event in self.datalyr_events]
            self.assertEqual(names, ["Signed Up", "Bought"])


    if __name__ == "__main__":
        suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
        suite.debug()
        print("debugged")
"""


def test_with_unittest(shop: Project) -> None:
    shop.write("test_shop.py", TESTS)
    ran = shop.run("-m", "unittest")
    assert ran.code == 0, ran.text
    assert "Ran 5 tests" in ran.text
    assert "OK" in ran.text


def test_without_a_result_as_debuggers_run_it(shop: Project) -> None:
    shop.write("test_shop.py", TESTS)
    ran = shop.run("test_shop.py")
    assert (ran.code, ran.text) == (0, "debugged\n")


def test_with_pytest(shop: Project) -> None:
    shop.write("test_shop.py", TESTS)
    ran = shop.pytest()
    assert ran.code == 0, ran.text
    assert ran.counts["passed"] == 5


SETTINGS = """
    import os

    SECRET_KEY = "s"
    INSTALLED_APPS = ["datalyr_django", "shop"]
    MIDDLEWARE = ["datalyr_django.middleware.DatalyrMiddleware"]
    ROOT_URLCONF = "shop.urls"
    STATIC_URL = "/static/"
    DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}
    DATALYR = {"API_KEY": "dk_test", "HOST": os.environ["DATALYR_HOST"]}
"""
URLS = """
    from django.http import HttpResponse
    from django.urls import path


    def buy(request):
        request.datalyr.track("Bought", {"price": 9})
        return HttpResponse("fine")


    urlpatterns = [path("buy", buy)]
"""
DJANGO_TESTS = """
    from urllib.request import urlopen

    from datalyr_core.testing import DatalyrTestMixin
    from django.test import LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase


    class Simple(DatalyrTestMixin, SimpleTestCase):
        def test_it(self):
            self.client.get("/buy")
            self.assertTracked("Bought", price=9, count=1)


    class Database(DatalyrTestMixin, TestCase):
        def test_one(self):
            self.client.get("/buy")
            self.assertTracked("Bought", price=9, count=1)

        async def test_async(self):
            await self.async_client.get("/buy")
            self.assertTracked("Bought", price=9, count=1)


    class Transaction(DatalyrTestMixin, TransactionTestCase):
        def test_it(self):
            self.assertEqual(self.datalyr_events, [])
            self.client.get("/buy")
            self.assertTracked("Bought", price=9, count=1)


    class Live(DatalyrTestMixin, LiveServerTestCase):
        def test_it(self):
            urlopen(self.live_server_url + "/buy").read()
            self.assertTracked("Bought", price=9, count=1)
"""
MANAGE = """
    import os
    import sys

    from django.core.management import execute_from_command_line

    if __name__ == "__main__":
        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        execute_from_command_line(sys.argv)
"""


def test_with_djangos_test_command_in_parallel(project: Project) -> None:
    pytest.importorskip("django")
    project.write("settings.py", SETTINGS)
    project.write("manage.py", MANAGE)
    project.write("shop/__init__.py", "")
    project.write("shop/urls.py", URLS)
    project.write("shop/tests.py", DJANGO_TESTS)
    ran = project.run("manage.py", "test", "--parallel", "2")
    assert ran.code == 0, ran.text
    assert "Ran 5 tests" in ran.text
