"""`aflush` and `aclose` wait in a thread, which must not keep anything from ending."""

from __future__ import annotations

import asyncio
import contextvars

import anyio
import pytest

from datalyr_core.async_waits import wait_in_thread
from tests.conftest import MakeClient
from tests.support.ingest import SILENCE, IngestServer, slow
from tests.support.scripts import Scripts

NO_THREADS = "import threading\nthreading.stack_size(2**46)\n"  # that no system grants


def test_a_loop_that_stops_in_the_middle_does_not_hold_the_exit_up(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    ended = scripts.run(
        """
        import asyncio
        from datalyr_core import Datalyr
        client = Datalyr.from_env()
        client.track("u", "E")
        loop = asyncio.new_event_loop()
        waiting = loop.create_task(client.aflush())
        loop.call_later(0.2, loop.stop)
        loop.run_forever()
        assert not waiting.done()
        """,
        exit_timeout=1,
    )
    assert ended.code == 0
    assert "1 are lost" in ended.err


def test_waiting_where_no_thread_can_start(scripts: Scripts, ingest: IngestServer) -> None:
    ended = scripts.run(
        NO_THREADS
        + """
import asyncio
from datalyr_core import Datalyr
client = Datalyr.from_env()
client.track("u", "E")
assert asyncio.run(client.aflush())
assert asyncio.run(client.aclose())
"""
    )
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["E"]


def test_a_cancelled_wait_waits_all_the_same(make_client: MakeClient, ingest: IngestServer) -> None:
    """What would be the use of a shutdown that a time-out cuts short before its own bound?"""
    ingest.answer = slow(0.3)
    client = make_client()
    client.track("u", "E")

    async def cancelled() -> None:
        with anyio.move_on_after(0.05):
            await client.aclose()

    asyncio.run(cancelled())
    assert client.stats.delivered == 1


def test_hooks_see_the_context(make_client: MakeClient, ingest: IngestServer) -> None:
    ingest.refuse()
    asked = contextvars.ContextVar("asked", default="nobody")
    seen: list[str] = []
    client = make_client(on_drop=lambda events, reason: seen.append(asked.get()))
    client.track("u", "E")

    async def close() -> None:
        asked.set("me")
        assert not await client.aclose(timeout=0)
        # A time-out that is no number is warned of, as by `close`; the event is lost already.
        assert not await client.aclose(timeout="soon")  # type: ignore[arg-type]  # on purpose

    asyncio.run(close())
    assert seen == ["me"]


def test_what_a_wait_raises_reaches_the_caller() -> None:
    def wait(timeout: float | None) -> bool:
        raise KeyError(timeout)

    with pytest.raises(KeyError, match="3"):
        asyncio.run(wait_in_thread(wait, 3.0))
