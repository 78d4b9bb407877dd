"""An outbox in a file before a broker: what no broker took is there for the next process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datalyr_core import Datalyr
from datalyr_core.outbox.reading import read_status
from tests.broker.taking import names_at, names_in, taken
from tests.support.brokers import Broker
from tests.support.scripts import Scripts
from tests.support.waiting import eventually

pytest.importorskip("kombu")

QUEUE = "datalyr.events"
SOON = 60.0  # seconds
COUNT = 250

TRACKS = f"""
import time
from datalyr_core import Datalyr

client = Datalyr.from_env()
for number in range({COUNT}):
    assert client.track("u", f"left {{number}}")
client.flush(30)  # the broker has been asked, and failed
print("tracked", flush=True)
time.sleep(600)
"""
LEFT = [f"left {number}" for number in range(COUNT)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite://{path}"


@pytest.fixture
def next_process(mortal: Any, url: str) -> Iterator[Datalyr]:
    """The process after those that have ended: this one."""
    own = {"timeout": 5, "flush_interval": 1, "retry_limit": 1}
    with Datalyr("dk_test", broker=mortal.url, outbox=url, **own) as client:
        yield client
        client.close(timeout=0)


def test_what_a_killed_process_left_is_published_by_the_next(
    mortal: Any, next_process: Datalyr, scripts: Scripts, url: str, path: Path
) -> None:
    own = {"broker": mortal.url, "outbox": url, "timeout": 2, "retry_limit": 0}
    with scripts.started(TRACKS, **own) as process:
        assert process.stdout
        assert process.stdout.readline() == "tracked\n"
        process.kill()
    assert sum(owner.events for owner in read_status(path).owners) == COUNT
    mortal.start()
    assert next_process.track("u", "own")
    assert eventually(lambda: next_process.stats.delivered == COUNT + 1, SOON)
    messages = taken(mortal.url, QUEUE)
    assert set(names_in(messages)) == {*LEFT, "own"}
    assert len(messages) < COUNT / 10  # several in one, also those of another process
    assert eventually(lambda: _left(path) == 0, SOON)
    assert next_process.stats.dropped == {}


def test_a_process_that_is_killed_while_it_publishes_loses_nothing(
    broker: Broker, scripts: Scripts, url: str, path: Path
) -> None:
    endless = """
import os, sys
from datalyr_core import Datalyr
client = Datalyr.from_env()
for number in range(100_000):
    client.track("u", f"{os.getpid()} {number}")
    print(f"{os.getpid()} {number}", flush=True)
"""
    own = {"broker": broker.url, "broker_queue": broker.queue, "outbox": url, "timeout": 20}
    accepted: set[str] = set()
    for _ in range(3):  # each takes over what the one before has left
        with scripts.started(endless, **own) as process:
            assert process.stdout
            accepted |= {process.stdout.readline().strip() for _ in range(300)}
            process.send_signal(signal.SIGKILL)
            accepted |= {line.strip() for line in process.stdout if line.endswith("\n")}
    with Datalyr("dk_test", **own) as client:
        assert client.drain(SOON)
    found = names_at(broker.url, broker.queue)
    assert accepted <= set(found)
    assert len(found) - len(set(found)) <= 3 * 2 * 100  # what was on its way at a kill
    assert _left(path) == 0


def test_in_an_outage_more_waits_than_memory_holds(
    mortal: Any, url: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = {"timeout": 5, "flush_interval": 1, "max_queue_size": 100, "retry_limit": 1}
    with Datalyr("dk_test", broker=mortal.url, outbox=url, **own) as client:
        for number in range(1000):
            assert client.track("u", f"E{number}")
        assert eventually(lambda: "the broker fails" in caplog.text, SOON)
        for number in range(1000, 2000):
            assert client.track("u", f"E{number}")
        assert client.stats.waiting == 2000
        mortal.start()
        assert eventually(lambda: client.stats.delivered == 2000, SOON)
        assert client.stats.dropped == {}
    messages = taken(mortal.url, QUEUE)
    assert set(names_in(messages)) == {f"E{number}" for number in range(2000)}
    assert len(messages) < 100
    assert _left(path) == 0


# What a process that ends cannot publish


ENDS = """
import signal, sys, threading
from datalyr_core import Datalyr
threading.stack_size({stack})
client = Datalyr.from_env()
for number in range(50):
    client.track("u", f"left {{number}}")
{end}
"""


@pytest.mark.parametrize("end", ["", "signal.raise_signal(signal.SIGTERM)", "client.close(1)"])
@pytest.mark.parametrize("stack", [0, 2**46])  # the second is of a system without threads
def test_a_broker_that_hangs_delays_an_exit_by_the_exit_timeout_and_all_is_left(
    end: str, stack: int, scripts: Scripts, hanging_url: str, url: str, path: Path
) -> None:
    own = {"broker": hanging_url, "outbox": url, "exit_timeout": 1, "timeout": 30}
    ended = scripts.run(ENDS.format(stack=stack, end=end), **own)
    assert ended.code == (-signal.SIGTERM if "SIGTERM" in end else 0), ended.err
    assert "50 stay in the outbox, for the next process to deliver" in ended.err
    assert "lost" not in ended.err
    assert ended.took < 20  # less than the time-out
    assert _left(path) == 50


def test_a_process_that_ends_leaves_what_no_broker_took(
    mortal: Any, next_process: Datalyr, scripts: Scripts, url: str
) -> None:
    own = {"broker": mortal.url, "outbox": url, "exit_timeout": 1}
    ended = scripts.run(ENDS.format(stack=0, end=""), **own)
    assert (ended.code, "50 stay in the outbox" in ended.err) == (0, True)
    mortal.start()
    next_process.track("u", "own")
    assert eventually(lambda: next_process.stats.delivered == 51, SOON)
    names = {f"left {number}" for number in range(50)}
    assert set(names_at(mortal.url, QUEUE)) == {*names, "own"}


def _left(path: Path) -> int:
    return sum(owner.events for owner in read_status(path).owners)
