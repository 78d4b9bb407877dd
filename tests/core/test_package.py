"""What `import datalyr_core` gives, and what it costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import datalyr_core
from tests.support.scripts import Scripts


def test_all_is_what_the_package_offers() -> None:
    assert datalyr_core.__all__ == sorted(datalyr_core.__all__)
    assert set(datalyr_core.__all__) == {
        "Config",
        "ConfigurationError",
        "Datalyr",
        "DatalyrError",
        "DropReason",
        "Event",
        "Reply",
        "Stats",
        "Tracker",
        "Transport",
        "TransportError",
        "__version__",
        "current_tracker",
    }
    for name in datalyr_core.__all__:
        assert hasattr(datalyr_core, name)


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", datalyr_core.__version__)


def test_the_package_is_typed() -> None:
    assert (Path(datalyr_core.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        ("ConfigurationError", (datalyr_core.DatalyrError, ValueError)),
        ("TransportError", (datalyr_core.DatalyrError,)),
    ],
)
def test_the_tree_of_errors(error: str, parents: tuple[type, ...]) -> None:
    for parent in parents:
        assert issubclass(getattr(datalyr_core, error), parent)


def test_importing_starts_nothing_and_imports_no_framework_and_no_http(scripts: Scripts) -> None:
    ended = scripts.run(
        """
        import signal, sys, threading
        import datalyr_core
        heavy = {"django", "flask", "starlette", "fastapi", "httpx", "anyio", "asyncio", "ssl"}
        assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
        assert threading.active_count() == 1
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        print("ok")
        """
    )
    assert (ended.out, ended.err) == ("ok\n", "")
