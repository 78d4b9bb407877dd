from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from datalyr_core.per_thread import PerThread


def test_a_value_is_its_threads_own() -> None:
    value: PerThread[int] = PerThread()
    value.set(1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(value.get).result() is None
        pool.submit(value.set, 2).result()
        assert (value.get(), pool.submit(value.get).result()) == (1, 2)


def test_a_value_is_set_for_a_block_and_the_one_before_comes_back() -> None:
    value: PerThread[str] = PerThread()
    with value.set_to("outer"):
        with value.set_to("inner"):
            assert value.get() == "inner"
        assert value.get() == "outer"
    assert value.get() is None


def test_a_value_of_before_threads_were_patched_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """All greenlets would have it in common; test_gevent.py shows it with gevent itself."""

    class Patched(threading.local):
        pass

    value: PerThread[int] = PerThread()
    value.set(1)
    monkeypatch.setattr(threading, "local", Patched)
    assert value.get() is None
    value.set(2)
    assert value.get() == 2
