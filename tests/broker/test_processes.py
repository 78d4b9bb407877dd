"""Processes that publish: forks, ends, greenlets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.broker.taking import names_at
from tests.support.brokers import Broker
from tests.support.ingest import IngestServer
from tests.support.scripts import Ended, Scripts

pytest.importorskip("kombu")

TRACK = """
import os, sys, threading, time
from datalyr_core import Datalyr
client = Datalyr.from_env()
client.track("u", "parent")
"""
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def run(scripts: Scripts, broker: Broker, source: str, **options: object) -> Ended:
    own = {"broker": broker.url, "broker_queue": broker.queue, "timeout": 20, "exit_timeout": 30}
    return scripts.run(source, **{**own, **options})


@pytest.mark.parametrize("end", ["", "import sys; sys.exit(0)", "client.close()"])
def test_a_script_that_ends_has_published(end: str, scripts: Scripts, broker: Broker) -> None:
    ended = run(scripts, broker, TRACK + end)
    assert (ended.code, ended.err) == (0, "")
    assert names_at(broker.url, broker.queue) == ["parent"]


def test_an_exiting_thread_publishes_by_itself(scripts: Scripts, broker: Broker) -> None:
    # No system grants a stack of this size; it stands in for interpreters that start no thread.
    ended = run(scripts, broker, "import threading; threading.stack_size(2**46)" + TRACK)
    assert (ended.code, ended.err) == (0, "")
    assert names_at(broker.url, broker.queue) == ["parent"]


@pytest.mark.parametrize("stack", ["", "threading.stack_size(2**46)"])
def test_a_hanging_broker_delays_an_exit_by_the_exit_timeout(
    stack: str, scripts: Scripts, hanging_url: str
) -> None:
    ended = scripts.run(
        f"import threading, time\n{stack}\n" + TRACK + "begun = time.monotonic()\n"
        "import atexit\n"
        "atexit.register(lambda: print(time.monotonic() - begun))\n"
        "client.flush(0)",
        broker=hanging_url,
        exit_timeout=1,
    )
    assert ended.code == 0, ended.err
    assert "the process ends and the broker did not take them in time; 1 are lost" in ended.err
    assert ended.took < 15


def test_the_commands_that_talk_to_the_ingest_leave_the_broker_alone(
    ingest: IngestServer, tmp_path: Path
) -> None:
    (tmp_path / "events.jsonl").write_text('{"event": "imported", "user_id": "u"}\n')
    environment = {
        **os.environ,
        "DATALYR_API_KEY": "dk_test",
        "DATALYR_HOST": ingest.url,
        "DATALYR_BROKER": "redis://127.0.0.1:1/0",
    }
    for arguments in (["send", "sent", "--user-id", "u"], ["import", "events.jsonl"]):
        ended = subprocess.run(
            [sys.executable, "-m", "datalyr_core", *arguments],
            check=False,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr + ended.stdout
    assert ingest.names == ["sent", "imported"]


@forks
def test_a_forked_child_publishes_its_own_and_the_parent_its_own(
    scripts: Scripts, broker: Broker
) -> None:
    ended = run(
        scripts,
        broker,
        TRACK
        + """
assert client.flush(30)  # there is a connection, which is the parent's
client.track("u", "parent waits")
pid = os.fork()
who = "parent" if pid else "child"
for number in range(30):
    client.track("u", f"{who} {number}")
if not pid:
    import gc
    gc.collect()
    assert client.flush(30), client.stats
    assert client.stats.delivered == 30
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
client.track("u", "parent at last")
assert client.flush(30), client.stats
assert client.stats.retried == 0
""",
    )
    assert (ended.code, ended.err) == (0, "")
    parents = ["parent", "parent waits", *(f"parent {n}" for n in range(30)), "parent at last"]
    found = names_at(broker.url, broker.queue)
    assert [name for name in found if name.startswith("parent")] == parents
    assert [name for name in found if name.startswith("child")] == [f"child {n}" for n in range(30)]


@forks
def test_a_child_of_multiprocessing(scripts: Scripts, broker: Broker) -> None:
    ended = run(
        scripts,
        broker,
        TRACK
        + """
import multiprocessing
assert client.flush(30)
def work():
    client.track("u", "child")
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
assert process.exitcode == 0
client.track("u", "parent again")
assert client.flush(30)
""",
    )
    assert (ended.code, ended.err) == (0, "")
    assert sorted(names_at(broker.url, broker.queue)) == ["child", "parent", "parent again"]


GEVENT = """
from gevent import monkey; monkey.patch_all()
import gevent, time
from datalyr_core import Datalyr
client = Datalyr.from_env()
def visit(number):
    for each in range(20):
        client.track("u", f"{number} {each}")
        gevent.sleep(0.002)
gevent.joinall([gevent.spawn(visit, number) for number in range(10)])
"""


def test_greenlets(scripts: Scripts, broker: Broker) -> None:
    pytest.importorskip("gevent")
    ended = run(scripts, broker, GEVENT + "assert client.flush(30), client.stats")
    assert (ended.code, ended.err) == (0, "")
    every = [f"{number} {each}" for number in range(10) for each in range(20)]
    assert sorted(names_at(broker.url, broker.queue)) == sorted(every)


def test_greenlets_run_while_the_broker_hangs(scripts: Scripts, hanging_url: str) -> None:
    pytest.importorskip("gevent")
    ended = scripts.run(
        GEVENT
        + """
flush = gevent.spawn(client.flush, 2)
turns = 0
while not flush.dead:
    gevent.sleep(0.01)
    turns += 1
assert turns > 10, turns
assert flush.value is False
begun = time.monotonic()
client.close(0.5)
assert time.monotonic() - begun < 5
""",
        broker=hanging_url,
        timeout=1,
    )
    assert ended.code == 0, ended.err
