"""Every block of Python that users copy is Python."""

from __future__ import annotations

import pytest

from tests.docs.pages import PAGES, blocks, check


@pytest.mark.parametrize("page", PAGES)
def test_blocks_compile(page: str) -> None:
    for block in blocks(page):
        check(page, block)
