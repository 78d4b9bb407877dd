"""A pytest plugin: tests of packages that a run of the version matrix does without."""

from __future__ import annotations

import os
import re
from collections.abc import Generator

import pytest

# Import names of distributions that go by another name.
_MODULES = {
    "django-csp": "csp",
    "django-ninja": "ninja",
    "djangorestframework": "rest_framework",
    "flask-security-too": "flask_security",
    "opentelemetry-sdk": "opentelemetry",
    "strawberry-graphql": "strawberry",
}
_LACKING = {
    _MODULES.get(name, name.replace("-", "_")): name
    for name in os.environ.get("DATALYR_TESTS_WITHOUT", "").split(",")
    if name
}
_MISSING = re.compile(r"ModuleNotFoundError: No module named '(\w+)")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a module that imports what this run is to do without, and say which.

    Anywhere else, and for anything else, a failed import stays an error.
    """
    report = yield
    if report.outcome == "failed" and isinstance(collector, pytest.Module):
        found = _MISSING.search(str(report.longrepr))
        if found and found[1] in _LACKING:
            report.outcome = "skipped"
            why = f"Skipped: {_LACKING[found[1]]} is left out of this run"
            report.longrepr = (str(collector.path), 0, why)
    return report
