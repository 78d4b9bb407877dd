"""Processes that share a file, fork, and are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from datalyr_core.outbox.reading import read_events, read_status
from tests.conftest import MakeClient
from tests.support.ingest import DOWN, OK, IngestServer, slow
from tests.support.scripts import Scripts
from tests.support.waiting import eventually

SOON = 40.0  # seconds

# Tracks without end, and says which events were accepted, each once `track` has returned.
TRACKS = """
    import os, sys, time
    from datalyr_core import Datalyr

    client = Datalyr.from_env()
    for number in range(100_000):
        event_id = client.track("user_1", f"Event {os.getpid()} {number}")
        sys.stdout.write(event_id + "\\n")
        sys.stdout.flush()
        time.sleep(0.0005)
"""


def ids(ingest: IngestServer) -> Counter[str]:
    return Counter(body["eventId"] for body in ingest.accepted.copy())


def read_ids(process: subprocess.Popen[str], count: int) -> Iterator[str]:
    assert process.stdout
    for _ in range(count):
        yield process.stdout.readline().strip()


def killed(process: subprocess.Popen[str]) -> set[str]:
    """Kill a process, and return what it still said."""
    process.send_signal(signal.SIGKILL)
    assert process.stdout
    # The last line may be cut short: its event need not have been accepted as far as we know.
    return {line.strip() for line in process.stdout if line.endswith("\n")}


def test_kill_nine_loses_nothing_and_twice_is_the_same_event(
    scripts: Scripts, ingest: IngestServer, make_client: MakeClient, url: str, path: Path
) -> None:
    ingest.answer = slow(0.002)
    accepted: set[str] = set()
    for count in (1, 40, 150, 300):
        with scripts.started(TRACKS, outbox=url, flush_interval=1, flush_at=5) as process:
            accepted |= set(read_ids(process, count))
            accepted |= killed(process)
    ingest.answer = OK
    assert make_client(outbox=url).drain(SOON)
    assert len(accepted) > 490
    assert accepted <= ids(ingest).keys()
    assert read_status(path).events == 0
    assert sum(count - 1 for count in ids(ingest).values()) < 4 * 60  # what was not noted yet


def test_several_share_a_file_and_send_nothing_twice(
    scripts: Scripts, ingest: IngestServer, url: str, path: Path
) -> None:
    source = """
        import os
        from datalyr_core import Datalyr

        client = Datalyr.from_env()
        for number in range(300):
            client.track("user_1", f"Event {os.getpid()} {number}")
        assert client.flush(40)
        stats = client.stats
        print(stats.accepted, stats.delivered, stats.taken_over)
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(scripts.started(source, outbox=url)) for _ in range(3)]
        told = [process.communicate(timeout=SOON)[0].split() for process in processes]
    assert told == [["300", "300", "0"]] * 3
    assert len(ids(ingest)) == len(ingest.accepted) == 900
    assert read_status(path).events == 0


def test_the_living_take_over_from_one_that_is_killed(
    scripts: Scripts, ingest: IngestServer, make_client: MakeClient, url: str, path: Path
) -> None:
    ingest.answer = DOWN
    client = make_client(outbox=url, flush_interval=1)
    client.track("user_1", "Mine")
    with scripts.started(TRACKS, outbox=url) as process:
        accepted = set(read_ids(process, 50))
        owners = read_status(path).owners
        assert [own.alive for own in owners] == [True, True]
        assert process.pid in [own.pid for own in owners]
        accepted |= killed(process)
    ingest.answer = OK
    assert eventually(lambda: accepted <= ids(ingest).keys(), SOON)
    assert client.stats.taken_over >= len(accepted)


def test_a_stopped_process_is_not_a_dead_one(
    scripts: Scripts, ingest: IngestServer, make_client: MakeClient, url: str, path: Path
) -> None:
    ingest.answer = DOWN
    with scripts.started(TRACKS, outbox=url) as process:
        list(read_ids(process, 20))
        process.send_signal(signal.SIGSTOP)
        ingest.answer = OK
        client = make_client(outbox=url)
        client.drain(1.0)
        assert client.stats.taken_over == 0
        assert {own.pid: own.alive for own in read_status(path).owners}[process.pid]


FORKS = """
    import os, sys
    from datalyr_core import Datalyr

    client = Datalyr.from_env()
    client.track("user_1", "Parent 1")
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            client.track("user_1", f"Child {number}")
            assert client.flush(40)
            assert client.stats.accepted == 1
            if number == 2:
                sys.exit()  # with everything that an exit closes
            os._exit(0)
        children.append(child)
        client.track("user_1", f"Parent {number + 2}")
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    client.track("user_1", "Parent 5")
    assert client.flush(40)
    print(client.stats.accepted, client.stats.delivered - client.stats.taken_over)
"""


def test_a_fork_with_the_file_open(
    scripts: Scripts, ingest: IngestServer, url: str, path: Path
) -> None:
    ended = scripts.run(FORKS, outbox=url, flush_at=100)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.split() == ["5", "5"]
    names = [f"Child {number}" for number in range(3)] + [f"Parent {n}" for n in range(1, 6)]
    assert sorted(ingest.names) == sorted(names)
    assert read_status(path).events == 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_fork_while_threads_track(scripts: Scripts, ingest: IngestServer, url: str) -> None:
    source = """
        import os, threading
        from datalyr_core import Datalyr

        client = Datalyr.from_env()
        over = threading.Event()

        def track(name):
            number = 0
            while not over.is_set():
                client.track("user_1", f"Parent {name} {number}")
                number += 1

        threads = [threading.Thread(target=track, args=(name,)) for name in range(2)]
        for thread in threads:
            thread.start()
        for number in range(8):
            child = os.fork()
            if child == 0:
                client.track("user_1", f"Child {number}")
                os._exit(0 if client.flush(40) else 1)
            assert os.waitpid(child, 0)[1] == 0
        over.set()
        for thread in threads:
            thread.join()
        assert client.flush(40)
        print(client.stats.accepted)
    """
    ended = scripts.run(source, outbox=url)
    assert (ended.code, ended.err) == (0, "")
    assert len(ids(ingest)) == len(ingest.accepted) == int(ended.out) + 8


def test_a_parent_that_is_killed_while_its_child_lives(
    scripts: Scripts, ingest: IngestServer, make_client: MakeClient, url: str, path: Path
) -> None:
    """A child has no part in its parent's lock."""
    source = """
        import os, time
        from datalyr_core import Datalyr

        client = Datalyr.from_env()
        client.track("user_1", "Parent")
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            while True:
                time.sleep(1)
        time.sleep(100)
    """
    ingest.answer = DOWN
    with scripts.started(source, outbox=url) as process:
        (child,) = read_ids(process, 1)
        try:
            process.send_signal(signal.SIGKILL)
            process.wait()
            ingest.answer = OK
            assert make_client(outbox=url).drain(SOON)
            assert ingest.names == ["Parent"]
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_a_fork_without_hooks_leaves_the_child_with_memory(
    scripts: Scripts, ingest: IngestServer, url: str
) -> None:
    source = """
        import ctypes, os, time
        from datalyr_core import Datalyr

        client = Datalyr.from_env()
        client.track("user_1", "Parent")
        assert client.flush(40)
        # One that waits for the interpreter would be waited for in the child, where it is not.
        while not client._sender._dispatcher._resting:
            time.sleep(0.005)
        fork = ctypes.PyDLL(None).fork  # as a server that is written in C does
        child = fork()
        client.track("user_1", "Parent too" if child else "Child")
        assert client.flush(40)
        if child:
            assert os.waitpid(child, 0)[1] == 0
        else:
            os._exit(0)
    """
    ended = scripts.run(source, outbox=url)
    assert ended.code == 0, ended.err
    assert sorted(ingest.names) == ["Child", "Parent", "Parent too"]
    assert ended.err.count("this process was forked without Python's hooks") == 1


def test_multiprocessing_children(scripts: Scripts, ingest: IngestServer, url: str) -> None:
    source = """
        import multiprocessing
        from datalyr_core import Datalyr

        client = Datalyr.from_env()

        def job(number):
            client.track("user_1", f"Job {number}")

        if __name__ == "__main__":
            client.track("user_1", "Parent")
            with multiprocessing.get_context("fork").Pool(2) as pool:
                pool.map(job, range(6))
                pool.close()
                pool.join()
    """
    ended = scripts.run(source, outbox=url)
    assert (ended.code, ended.err) == (0, "")
    assert sorted(ingest.names) == sorted([*(f"Job {number}" for number in range(6)), "Parent"])


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "os.kill(os.getpid(), 15)"])
def test_what_is_left_at_the_exit_stays(
    scripts: Scripts, ingest: IngestServer, url: str, path: Path, end: str
) -> None:
    source = f"""
        import os, sys
        from datalyr_core import Datalyr

        client = Datalyr.from_env()
        for number in range(3):
            client.track("user_1", f"Event {{number}}")
        {end}
    """
    ingest.answer = DOWN
    ended = scripts.run(source, outbox=url, exit_timeout=0.3)
    assert "3 stay in the outbox" in ended.err
    assert "lost" not in ended.err
    assert [each.event.event for each in read_events(path)] == ["Event 0", "Event 1", "Event 2"]
    assert not any(own.alive for own in read_status(path).owners)


def test_an_event_after_the_exit_was_given_up_stays_too(
    scripts: Scripts, ingest: IngestServer, url: str, path: Path
) -> None:
    source = """
        import atexit
        from datalyr_core import Datalyr

        client = Datalyr.from_env()
        atexit.register(lambda: client.track("user_1", "Late"))
        client.track("user_1", "Event")
        atexit.register(lambda: client.track("user_1", "Earlier"))
    """
    ingest.answer = DOWN
    scripts.run(source, outbox=url, exit_timeout=0.2)
    assert {each.event.event for each in read_events(path)} == {"Event", "Late", "Earlier"}


def test_an_exit_that_delivers_leaves_nothing(
    scripts: Scripts, ingest: IngestServer, url: str, path: Path
) -> None:
    source = """
        from datalyr_core import Datalyr

        client = Datalyr.from_env()
        for number in range(100):
            client.track("user_1", f"Event {number}")
    """
    ended = scripts.run(source, outbox=url)
    assert (ended.code, ended.err) == (0, "")
    assert len(ids(ingest)) == len(ingest.accepted) == 100
    assert list(read_events(path)) == []
