"""Children of a process: what waits stays with the parent, and each begins anew."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.support.ingest import SILENCE, IngestServer, slow
from tests.support.scripts import Scripts

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

TRACK = """
import os, sys, threading, time
from datalyr_core import Datalyr
client = Datalyr.from_env()
client.track("u", "parent")
"""


def test_a_forked_child_sends_its_own_events_and_the_parent_its_own(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK
        + """
for number in range(10):  # they wait; the parent's thread is not in the child
    client.track("u", f"parent {number}")
pid = os.fork()
who = "parent" if pid else "child"
assert pid or (client.stats.accepted, client.stats.waiting) == (0, 0)
for number in range(10, 20):
    client.track("u", f"{who} {number}")
if pid:
    assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert (ended.code, ended.err) == (0, "")
    both = [f"parent {n}" for n in range(20)] + [f"child {n}" for n in range(10, 20)]
    assert sorted(ingest.names) == sorted(["parent", *both])


def test_a_child_of_a_process_that_was_sending(scripts: Scripts, ingest: IngestServer) -> None:
    ingest.answer = slow(0.2)
    ended = scripts.run(
        TRACK
        + """
client.track("u", "parent 2")
threading.Thread(target=client.flush).start()
time.sleep(0.1)  # in the middle of a request, with a connection that is the parent's
pid = os.fork()
if not pid:
    client.track("u", "child")
    assert client.flush(timeout=5) and client.stats.delivered == 1
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert client.close()
"""
    )
    assert (ended.code, ended.err) == (0, "")
    assert Counter(ingest.names) == {"parent": 1, "parent 2": 1, "child": 1}


def test_forks_while_other_threads_track(scripts: Scripts, ingest: IngestServer) -> None:
    ended = scripts.run(
        TRACK
        + """
stop = threading.Event()
counts = [0] * 4
def work(name):
    while not stop.wait(0.001):
        counts[name] += 1
        client.track("u", f"parent {name} {counts[name]}")
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
children = []
for number in range(20):
    pid = os.fork()
    if not pid:
        client.track("u", f"child {number}")
        ok = client.flush(timeout=10)
        os._exit(0 if ok else 1)
    children.append(pid)
ended = [os.waitpid(pid, 0)[1] for pid in children]
stop.set()
for thread in threads:
    thread.join()
print(ended.count(0), sum(counts))
""",
        max_queue_size=10_000,
    )
    assert (ended.code, ended.err) == (0, "")
    good, parents = map(int, ended.out.split())
    assert good == 20
    by_whom = Counter(name.split()[0] for name in ingest.names)
    assert by_whom == {"parent": parents + 1, "child": 20}
    assert len(set(ingest.names)) == len(ingest.names)


def test_a_fork_without_fork_hooks_is_noticed(scripts: Scripts, ingest: IngestServer) -> None:
    """Some servers fork in C, where Python's hooks do not run."""
    ended = scripts.run(
        TRACK
        + """
import ctypes
pid = ctypes.PyDLL(None).fork()
if not pid:
    client.track("u", "child")
    os._exit(0 if client.flush(timeout=5) and client.stats.delivered == 1 else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert (ended.code, ended.err) == (0, "")
    assert Counter(ingest.names) == {"parent": 1, "child": 1}


def test_a_fork_that_many_threads_notice_at_once_is_noticed_once(scripts: Scripts) -> None:
    ended = scripts.run(
        TRACK
        + """
sys.setswitchinterval(1e-6)
for _ in range(100):
    client._pid = -1  # as it is in a child before anybody has noticed
    ready = threading.Barrier(8)

    def track():
        ready.wait()
        client.track("u", "child")

    threads = [threading.Thread(target=track) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.stats.accepted == 8, client.stats
os._exit(0)  # a hundred clients have something left, and are no matter of this test
"""
    )
    assert (ended.code, ended.err) == (0, "")


def test_an_unnoticed_child_does_not_end_for_its_parent(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK
        + """
import ctypes
from datalyr_core import lifecycle
pid = ctypes.PyDLL(None).fork()
if not pid:
    client.track("u", "child")
    assert len(lifecycle._finishable) == 1, list(lifecycle._finishable)
    sys.exit()
assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert (ended.code, ended.err) == (0, "")
    assert Counter(ingest.names) == {"parent": 1, "child": 1}


def test_a_closed_or_disabled_client_stays_so_in_a_child(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        """
        import os
        from datalyr_core import Datalyr
        closed, off = Datalyr.from_env(), Datalyr.from_env(enabled=False)
        closed.close()
        off_id = off.track("u", "E")
        pid = os.fork()
        assert closed.track("u", "E") is None and off.track("u", "E")
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        """
    )
    assert ended.code == 0, ended.err
    assert ingest.requests == []


@pytest.mark.parametrize("fork", ["os.fork()", "ctypes.PyDLL(None).fork()"], ids=["hooks", "none"])
def test_a_child_that_closes_leaves_the_parent_its_own(
    fork: str, scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK
        + f"""
import ctypes
assert client.flush()  # by now there is a connection
client.track("u", "waits")
pid = {fork}
if not pid:
    assert client.close() and client.stats.delivered == 0
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
client.track("u", "later")
assert client.close() and client.stats.delivered == 3
""",
        concurrency=1,
        flush_interval=3600,
    )
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["parent", "waits", "later"]
    assert ingest.connections == 1


def test_a_fork_after_a_client_was_forgotten(scripts: Scripts, ingest: IngestServer) -> None:
    ended = scripts.run(
        """
        import gc, os, sys
        from datalyr_core import Datalyr, lifecycle
        client = Datalyr.from_env(flush_interval=3600)
        client.track("u", "parent")
        assert client.flush()
        del client
        gc.collect()
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        else:
            assert lifecycle.clients() == []
            Datalyr.from_env().track("u", "child")
        """
    )
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["parent", "child"]


def test_no_id_is_made_twice(scripts: Scripts, ingest: IngestServer) -> None:
    """Random numbers that were drawn ahead would be the same in every child."""
    ended = scripts.run(
        TRACK
        + """
children = []
for _ in range(4):
    pid = os.fork()
    if not pid:
        for _ in range(20):
            client.track("u", "child")
        sys.exit()
    children.append(pid)
for _ in range(19):
    client.track("u", "parent")
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
"""
    )
    assert (ended.code, ended.err) == (0, "")
    assert len(ingest.accepted) == 100
    assert len({body["eventId"] for body in ingest.accepted}) == 100
    assert len({body["anonymousId"] for body in ingest.accepted}) == 100


def test_a_child_that_cannot_set_up_http_of_its_own_raises_nothing(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        """
        import os, httpx
        from datalyr_core import Datalyr
        os.environ["HTTP_PROXY"] = "gopher://proxy.example"  # no matter to the given client
        client = Datalyr.from_env(http_client=httpx.Client(trust_env=False))
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        else:
            assert client.track("u", "child")
            assert not client.flush()
            assert client.stats.dropped == {"permanent_client_error": 1}, client.stats
        """,
        host="http://ingest.example/track",
    )
    assert ended.code == 0, ended.err
    assert "Exception ignored" not in ended.err
    assert ended.err.count("HTTP to http://ingest.example/track cannot be set up") == 1


def test_a_given_http_client_stays_with_the_parent(scripts: Scripts, ingest: IngestServer) -> None:
    ended = scripts.run(
        """
        import os, httpx
        from datalyr_core import Datalyr
        client = Datalyr.from_env(http_client=httpx.Client(headers={"x-mine": "yes"}))
        client.track("u", "parent")
        assert client.flush()
        pid = os.fork()
        if pid:
            assert os.waitpid(pid, 0)[1] == 0
        else:
            client.track("u", "child")
        """
    )
    assert ended.code == 0
    assert "this process uses a client of its own" in ended.err
    assert [(r.body["event"], r.headers.get("x-mine")) for r in ingest.requests] == [
        ("parent", "yes"),
        ("child", None),
    ]


def test_sigterm_reaches_a_forked_child_as_it_would_the_parent(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK
        + """
import signal
ready, told = os.pipe()
pid = os.fork()
if not pid:
    client.track("u", "child")
    os.write(told, b"x")
    while True:  # a signal that comes just before a long nap waits for its end
        time.sleep(0.05)
os.read(ready, 1)
os.kill(pid, signal.SIGTERM)
assert os.waitpid(pid, 0)[1] == signal.SIGTERM
"""
    )
    assert (ended.code, ended.err) == (0, "")
    assert Counter(ingest.names) == {"parent": 1, "child": 1}


PROCESSES = """
import multiprocessing, os, sys
from datalyr_core import Datalyr

def work(number):
    global client
    client = globals().get("client") or Datalyr.from_env()
    client.track("u", f"child {{number}}")

if __name__ == "__main__":
    client = Datalyr.from_env()
    client.track("u", "parent")
    context = multiprocessing.get_context("{method}")
    children = [context.Process(target=work, args=(n,)) for n in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_at_their_end(
    method: str, scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(PROCESSES.format(method=method))
    assert ended.code == 0, ended.err
    assert Counter(ingest.names) == {"parent": 1, "child 0": 1, "child 1": 1}


def test_a_child_of_multiprocessing_waits_no_longer_than_it_may(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    ended = scripts.run(PROCESSES.format(method="fork"), exit_timeout=1)
    assert ended.code == 0
    assert ended.took < 9.5  # by default it would be 10, of children and then parent
    assert ended.err.count("did not take them in time") == 3


def test_a_log_handler_may_track_when_a_client_was_inherited(
    scripts: Scripts, ingest: IngestServer
) -> None:
    """The warning comes when everything is this process's own, and no lock is held."""
    ended = scripts.run(
        """
        import logging, threading
        import httpx
        from datalyr_core import Datalyr
        class Tracking(logging.Handler):
            def emit(self, record):
                thread = threading.Thread(target=client.track, args=("u", "there"), daemon=True)
                thread.start()
                thread.join(20)
                client.track("u", "here")
                print(thread.is_alive(), record.getMessage()[:36])
        client = Datalyr.from_env(http_client=httpx.Client())
        logging.getLogger("datalyr").addHandler(Tracking())
        client._pid = -1  # as it is in a child before anybody has noticed
        client.track("u", "first")
        """
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "False http_client was made before a fork a\n"
    assert sorted(ingest.names) == ["first", "here", "there"]
