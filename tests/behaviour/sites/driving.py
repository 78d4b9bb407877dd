"""How the sites run a page, in a thread or in an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping

from datalyr_core import Tracker
from tests.behaviour.views import PAUSE, VIEWS, Page

USER_HEADER = "X-Session"  # stands for a session: who sends 42 is logged in as user 42


def run(view: str, tracker: Tracker, query: Mapping[str, str]) -> Page:
    page = VIEWS[view](tracker, query)
    while page.then is not None:
        time.sleep(PAUSE)
        page = page.then()
    return page


async def arun(view: str, tracker: Tracker, query: Mapping[str, str]) -> Page:
    page = VIEWS[view](tracker, query)
    while page.then is not None:
        await asyncio.sleep(PAUSE)
        page = page.then()
    return page


def slowly(chunks: Iterator[str]) -> Iterator[str]:
    for chunk in chunks:
        time.sleep(PAUSE)
        yield chunk


async def aslowly(chunks: Iterator[str]) -> AsyncIterator[str]:
    for chunk in chunks:
        await asyncio.sleep(PAUSE)
        yield chunk


def logged_in(header: str | None) -> str | None:
    """Look the user of a session up, which fails for one of them."""
    if header == "broken":
        raise RuntimeError("the users' database is away")
    return header
