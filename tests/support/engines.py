"""Tests that every HTTP engine has to pass."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

_without_fast = pytest.mark.skipif(find_spec("httptools") is None, reason="httptools is left out")

# For tests whose clients come from the fixture `make_client`.
both_engines = pytest.mark.parametrize(
    "transport", ["httpx", pytest.param("fast", marks=_without_fast)], indirect=True
)
