"""The examples of docs/testing.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.projects import Project

pytestmark = pytest.mark.timeout(180)  # processes that a busy machine takes its time with

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()
FILES = dict(re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
SHOWN = re.findall(r"^```text\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def page(project: Project) -> Project:
    pytest.importorskip("flask")
    for name, text in FILES.items():
        project.write(name, text)
    return project


def test_every_block_of_python_is_a_file() -> None:
    assert len(FILES) == PAGE.count("```python") == 5


def test_the_tests_of_the_page_pass(page: Project) -> None:
    ran = page.pytest()
    assert ran.counts == {"passed": 2}, ran.text


def test_the_unittest_tests_of_the_page_pass(page: Project) -> None:
    ran = page.run("-m", "unittest", "unittest_shop")
    assert ran.code == 0, ran.text
    assert "Ran 1 test" in ran.text


def test_the_script_of_the_page_runs(page: Project) -> None:
    ran = page.run("plain.py")
    assert (ran.code, ran.text) == (0, "")


def test_the_messages_are_as_they_are_shown(page: Project) -> None:
    failure, refusal = SHOWN
    page.write(
        "fails.py",
        """
        from datalyr_core import Datalyr
        from datalyr_core.guard import REFUSAL
        from datalyr_core.testing import recorded_events

        print(REFUSAL.format(host="ingest.datalyr.com"))
        client = Datalyr("dk_test")
        with recorded_events() as events:
            client.page(name="Pricing", anonymous_id="a")
            client.track(7, "Signed Up", {"plan": "free"})
            client.track(7, "")
            events.assert_tracked("Signed Up", plan="pro")
        """,
    )
    ran = page.run("fails.py")
    assert failure in ran.text
    assert refusal.removeprefix("event dropped (permanent_client_error): ") in ran.text
