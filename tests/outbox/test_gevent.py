"""The durable outbox under gevent."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalyr_core.outbox.reading import read_events
from tests.support.ingest import DOWN, IngestServer, slow
from tests.support.scripts import Scripts

pytest.importorskip("gevent")

VISITS = """
def visit(number):
    for each in range(30):
        client.track("u", f"{number} {each}")
        gevent.sleep(0.002)
gevent.joinall([gevent.spawn(visit, number) for number in range(10)])
"""
EVERY = sorted(f"{number} {each}" for number in range(10) for each in range(30))
EARLY = """
from gevent import monkey; monkey.patch_all()
import gevent
from datalyr_core import Datalyr
client = Datalyr.from_env()
"""
# As gunicorn does it with --preload: the parent has tracked, and the child patches.
LATE = """
import os, signal, sys
from datalyr_core import Datalyr
client = Datalyr.from_env()
client.track("u", "parent")
pid = os.fork()
if pid:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    sys.exit(code)
signal.alarm(40)
from gevent import monkey; monkey.patch_all()
import gevent
gevent.reinit()
"""


@pytest.mark.parametrize(("begin", "more"), [(EARLY, []), (LATE, ["parent"])])
def test_greenlets_lose_nothing(
    scripts: Scripts, ingest: IngestServer, url: str, path: Path, begin: str, more: list[str]
) -> None:
    ingest.answer = slow(0.005)
    ended = scripts.run(begin + VISITS + "assert client.flush(timeout=30)", outbox=url, flush_at=1)
    assert (ended.code, ended.err) == (0, "")
    assert sorted(ingest.names) == sorted([*EVERY, *more])
    assert list(read_events(path)) == []


def test_what_is_left_stays(scripts: Scripts, ingest: IngestServer, url: str, path: Path) -> None:
    ingest.answer = DOWN
    ended = scripts.run(EARLY + VISITS, outbox=url, exit_timeout=0.3)
    assert "300 stay in the outbox" in ended.err
    assert sorted(each.event.event for each in read_events(path)) == EVERY
