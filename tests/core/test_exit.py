"""How a process ends, in real processes: what was accepted is delivered, within a bound."""

from __future__ import annotations

import os
import signal
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from datalyr_core import lifecycle
from tests.conftest import MakeClient
from tests.support.ingest import DOWN, SILENCE, Answer, IngestServer, slow
from tests.support.scripts import Scripts

TRACK = """
from datalyr_core import Datalyr
client = Datalyr.from_env()
client.track("u", "E")
"""
# A real way to have no thread: no system grants a stack of this size. It stands in for
# interpreters that start no thread while they exit.
NO_THREADS = """
import threading
threading.stack_size(2**46)
"""


# Set first: where the tests run in the background the signal is ignored.
INTERRUPT = """
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit('bye')", 1),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        (INTERRUPT, -signal.SIGINT),
        ("client.close(); client.close()", 0),
        ("del client", 0),
        ("import gc; gc.disable(); client.me = client", 0),
    ],
)
def test_however_a_script_ends_its_event_is_delivered_at_once(
    end: str, code: int, scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(TRACK + end, flush_interval=60, exit_timeout=30)
    assert ended.code == code, ended.err
    assert ingest.names == ["E"]
    assert ended.took < 20
    assert "Traceback" not in ended.err or code


def test_a_host_name_is_resolved_while_the_interpreter_exits(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(TRACK, host=f"http://localhost:{ingest.port}/track")
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["E"]


LATE = """
import atexit
def at_the_end():
    for name in ("late", "later"):
        assert client.track("u", name)
atexit.register(at_the_end)  # before the client's own, and so called after it
"""


@pytest.mark.parametrize("prelude", ["", NO_THREADS], ids=["threads", "no threads"])
def test_events_of_an_exit_handler_are_delivered(
    prelude: str, scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(prelude + LATE + TRACK)
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["E", "late", "later"]


def test_where_no_thread_can_start_track_waits_for_nothing(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.5)
    ended = scripts.run(
        """
        import threading
        threading.stack_size(2**46)
        import time
        from datalyr_core import Datalyr
        client = Datalyr.from_env()
        begun = time.monotonic()
        assert client.track("u", "E") and client.track("u", "F")
        assert time.monotonic() - begun < 0.4
        assert client.stats.waiting == 2
        assert client.flush()
        assert client.stats.delivered == 2
        threading.stack_size(0)  # and now there are threads again
        assert client.track("u", "G")
        assert threading.active_count() == 2
        """
    )
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["E", "F", "G"]


def test_a_client_that_is_made_by_an_exit_handler_delivers(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        """
        import threading
        threading.stack_size(2**46)
        import atexit
        from datalyr_core import Datalyr
        atexit.register(lambda: Datalyr.from_env(api_key="dk_other").track("u", "late"))
        Datalyr.from_env()
        """
    )
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["late"]


def test_an_interpreter_that_starts_no_thread_at_its_end(
    scripts: Scripts, ingest: IngestServer
) -> None:
    python = os.environ.get("DATALYR_PYTHON_312_1")
    if not python:
        pytest.skip("DATALYR_PYTHON_312_1 names no CPython 3.12.0 to 3.12.2 with this package")
    ended = scripts.run(LATE + TRACK, python=python)
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["E", "late", "later"]


def test_a_thread_that_outlives_the_main_one_is_heard(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        TRACK + "import threading, time\n"
        "def work():\n    time.sleep(0.3)\n    client.track('u', 'F')\n"
        "threading.Thread(target=work).start()"
    )
    assert ended.code == 0
    assert sorted(ingest.names) == ["E", "F"]


# The exit alone: a busy machine may take seconds to start an interpreter.
TIMED = """
import atexit, time
atexit.register(lambda: print(time.monotonic() - begun))  # the first, and so the last to run
"""


@pytest.mark.parametrize("prelude", ["", NO_THREADS], ids=["threads", "no threads"])
@pytest.mark.parametrize("answer", [DOWN, SILENCE, None], ids=["failing", "hanging", "refusing"])
def test_an_ingest_that_takes_nothing_delays_the_exit_only_so_long_and_is_told_of(
    answer: Answer | None, prelude: str, scripts: Scripts, ingest: IngestServer
) -> None:
    if answer is None:
        ingest.refuse()
    else:
        ingest.answer = answer
    # Handlers that track later share the same time.
    source = TIMED + prelude + LATE + TRACK + "\nbegun = time.monotonic()"
    ended = scripts.run(source, exit_timeout=1, flush_at=100)
    assert ended.code == 0
    assert float(ended.out) < 4.5  # by default it would be 5
    assert "the process ends and the ingest did not take them in time" in ended.err
    assert "Traceback" not in ended.err


def test_a_transport_that_breaks_the_end_of_one_client_leaves_the_others_theirs(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(
        """
        import threading
        threading.stack_size(2**46)
        from datalyr_core import Datalyr, Reply
        class Broken:
            deadline = property(lambda self: None)  # there, and not to be set
            def send(self, body):
                return Reply(200)
        clients = [Datalyr.from_env(transport=Broken()), Datalyr.from_env()]
        clients.append(Datalyr.from_env(transport=Broken()))
        for client in clients:
            client.track("u", "E")
        """
    )
    assert ended.code == 0
    assert ended.err.count("delivery before the exit failed") == 2
    assert ingest.names == ["E"]


def test_a_client_that_hangs_takes_no_time_from_the_others(
    scripts: Scripts, ingest: IngestServer
) -> None:
    with IngestServer() as hanging:
        hanging.answer = SILENCE
        source = f"""
            from datalyr_core import Datalyr
            clients = [Datalyr.from_env(host="{hanging.url}") for _ in range(4)]
            clients.insert(2, Datalyr.from_env())
            for client in clients:
                client.track("u", "E")
            begun = time.monotonic()
        """
        ended = scripts.run(TIMED + textwrap.dedent(source), exit_timeout=1)
    assert ended.code == 0
    assert float(ended.out) < 3.9  # one after another they would take 4
    assert ingest.names == ["E"]


# Signals

READY = "print('ready', flush=True)\n"
# Short naps: a signal that comes just before a long one waits for its end.
WAIT = "import time\nwhile True:\n    time.sleep(0.05)\n"


def test_a_hook_that_tracks_what_is_lost_ends(scripts: Scripts, ingest: IngestServer) -> None:
    """It would be told of that in turn, for ever."""
    ingest.refuse()
    ended = scripts.run(
        """
        from datalyr_core import Datalyr
        def on_drop(events, reason):
            print(reason, *(each.event for each in events), flush=True)
            client.track("u", "Lost something")
        client = Datalyr.from_env(on_drop=on_drop)
        client.track("u", "E")
        """,
        exit_timeout=0.5,
    )
    assert (ended.code, ended.out) == (0, "close_timeout E\n")


@pytest.mark.parametrize("prelude", ["", NO_THREADS], ids=["threads", "no threads"])
def test_what_is_tracked_when_the_exit_is_over_is_delivered_at_once(
    prelude: str, scripts: Scripts, ingest: IngestServer
) -> None:
    """Threads of before are there by name alone."""
    ended = scripts.run(
        prelude
        + TRACK
        + textwrap.dedent(
            """
            class Late:
                def __init__(self):
                    self.client = client
                def __del__(self):
                    self.client.track("u", "late")
            late = Late()
            late.itself = late
            """
        ),
        exit_timeout=30,
    )
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["E", "late"]
    assert ended.took < 20


def terminated(scripts: Scripts, source: str, **options: object) -> tuple[int, str, str]:
    with scripts.started(source, **options) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        out, err = process.communicate(timeout=15)
    return process.returncode, out, err


def test_sigterm_delivers_and_then_does_what_it_would_have_done(
    scripts: Scripts, ingest: IngestServer
) -> None:
    code, _, err = terminated(scripts, TRACK + READY + WAIT)
    assert (code, err) == (-signal.SIGTERM, "")
    assert ingest.names == ["E"]


def test_sigterm_when_no_thread_can_start(scripts: Scripts, ingest: IngestServer) -> None:
    source = TRACK + "import threading; threading.stack_size(2**46)\n" + READY + WAIT
    code, _, err = terminated(scripts, source)
    assert (code, err) == (-signal.SIGTERM, "")
    assert ingest.names == ["E"]


def test_sigterm_is_not_delayed_beyond_the_exit_timeout(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    code, _, err = terminated(scripts, TRACK + READY + WAIT, exit_timeout=1)
    assert code == -signal.SIGTERM
    assert "did not take them in time" in err


HANDLER = """
import signal, sys
def handler(*args):
    print("mine", flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, handler)
"""


@pytest.mark.parametrize("source", [HANDLER + TRACK, TRACK + HANDLER], ids=["before", "after"])
def test_a_handler_that_the_application_sets_stays(
    source: str, scripts: Scripts, ingest: IngestServer
) -> None:
    code, out, _ = terminated(scripts, source + READY + WAIT)
    assert (code, out) == (7, "mine\n")
    assert ingest.names == ["E"]


def test_a_handler_that_is_set_while_we_deliver_gets_the_signal(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.7)
    source = (
        TRACK
        + READY
        + (
            "import time\nfrom datalyr_core import lifecycle\n"
            "while not lifecycle.is_exiting():\n    time.sleep(0.01)\n"
        )
    )
    code, out, _ = terminated(scripts, source + HANDLER + WAIT)
    assert (code, out) == (7, "mine\n")
    assert ingest.names == ["E"]


def test_an_ignored_sigterm_stays_ignored(scripts: Scripts, ingest: IngestServer) -> None:
    ended = scripts.run(
        "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        + TRACK
        + "os.kill(os.getpid(), signal.SIGTERM)"
    )
    assert ended.code == 0
    assert ingest.names == ["E"]


def test_the_default_action_is_given_back_after_the_last_close(scripts: Scripts) -> None:
    ended = scripts.run(
        """
        import asyncio, signal, threading
        from datalyr_core import Datalyr
        action = lambda: signal.getsignal(signal.SIGTERM)
        first, second = Datalyr.from_env(), Datalyr.from_env()
        assert action() is not signal.SIG_DFL
        first.close()
        assert action() is not signal.SIG_DFL
        second.close()
        assert action() is signal.SIG_DFL
        asyncio.run(Datalyr.from_env().aclose())
        assert action() is signal.SIG_DFL
        disabled = Datalyr.from_env(enabled=False)
        thread = threading.Thread(target=Datalyr.from_env)
        thread.start(); thread.join()  # only the main thread may set one
        assert action() is signal.SIG_DFL
        """
    )
    assert ended.code == 0, ended.err


# Other threads


def test_under_gevent(scripts: Scripts, ingest: IngestServer) -> None:
    pytest.importorskip("gevent")
    ended = scripts.run(
        "from gevent import monkey; monkey.patch_all()\n" + TRACK + "import gevent\n"
        "gevent.joinall([gevent.spawn(client.track, 'u', f'G{n}') for n in range(100)])\n"
        "assert client.flush(timeout=10), client.stats\n"
        "client.track('u', 'last')"
    )
    assert ended.code == 0, ended.err
    assert sorted(ingest.names) == sorted(["E", "last", *(f"G{n}" for n in range(100))])


# Its handler says when it is called. It shuts down and raises the signal again, as uvicorn
# does, or exits as other servers do.
SERVER = """
import os, signal, threading, time
from datalyr_core import Datalyr, lifecycle

stopping = threading.Event()

def handle(signum, frame):
    print("handled", client.stats.delivered, flush=True)
    stopping.set()

def serve():
    stopping.wait(20)
    print("stopped", flush=True)
    if exits:
        raise SystemExit(7)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)

signal.signal(signal.SIGTERM, handle)
client = Datalyr.from_env()
exits = False
"""
TERMINATED = """
client.track("u", "E")
os.kill(os.getpid(), signal.SIGTERM)
serve()
"""


@pytest.mark.parametrize(("exits", "code"), [(False, -signal.SIGTERM), (True, 7)])
def test_a_server_gets_its_sigterm_after_the_delivery(
    exits: bool, code: int, scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = slow(0.1)
    hold = f"exits = {exits}\nfor _ in 1, 2: assert lifecycle.hold_sigterm()\n"
    ended = scripts.run(SERVER + hold + TERMINATED)
    assert (ended.code, ended.err) == (code, "")
    assert ended.out.split() == ["handled", "1", "stopped"]
    assert ingest.names == ["E"]


@pytest.mark.parametrize("answer", [DOWN, SILENCE])
def test_a_server_gets_its_sigterm_when_the_time_is_up(
    answer: Answer, scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = answer
    late = """
        client.track("u", "E")
        lifecycle.hold_sigterm()
        begun = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        stopping.wait(20)
        assert time.monotonic() - begun < 4  # by default it would be 5
        begun = time.monotonic()
        client.track("u", "Late")
        assert time.monotonic() - begun < 0.9  # the second is used up
        exits = True
        serve()
    """
    ended = scripts.run(SERVER + textwrap.dedent(late), exit_timeout=1)
    assert ended.code == 7
    assert ended.out.split() == ["handled", "0", "stopped"]
    assert "1 are lost" in ended.err


def test_a_busy_server_is_not_kept_from_its_sigterm(scripts: Scripts, ingest: IngestServer) -> None:
    """Only what was there before is waited for."""
    ingest.answer = slow(0.1)
    busy = """
def work():
    while not stopping.is_set():
        client.track("u", "More")
        time.sleep(0.002)
threading.Thread(target=work, daemon=True).start()
lifecycle.hold_sigterm()
"""
    ended = scripts.run(SERVER + busy + TERMINATED, exit_timeout=20, flush_at=1)
    assert ended.code == -signal.SIGTERM
    assert "E" in ingest.names
    assert ended.took < 15


def test_an_event_loops_own_handler_is_not_called_twice(
    scripts: Scripts, ingest: IngestServer
) -> None:
    """The loop hears of a signal without its handler, and its servers exit as others do."""
    ended = scripts.run(
        """
        import asyncio, os, signal
        from datalyr_core import Datalyr, lifecycle
        client = Datalyr.from_env()

        async def serve():
            stopping = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, stopping.set)
            handler = signal.getsignal(signal.SIGTERM)
            assert lifecycle.hold_sigterm()
            assert signal.getsignal(signal.SIGTERM) is handler
            client.track("u", "E")
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stopping.wait(), 20)

        asyncio.run(serve())
        """
    )
    assert (ended.code, ended.err) == (0, "")
    assert ingest.names == ["E"]


def test_a_held_sigterm_is_given_back(make_client: MakeClient) -> None:
    def handle(signum: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, handle)
    try:
        client = make_client()
        assert lifecycle.hold_sigterm()
        assert signal.getsignal(signal.SIGTERM) is not handle
        client.close()
        assert signal.getsignal(signal.SIGTERM) is handle
        assert lifecycle.hold_sigterm()  # of nobody: there is nothing to deliver
        assert signal.getsignal(signal.SIGTERM) is handle
    finally:
        signal.signal(signal.SIGTERM, before)


def test_only_the_main_thread_can_hold_sigterm_back(make_client: MakeClient) -> None:
    def handle(signum: int, frame: object) -> None: ...

    client = make_client()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lifecycle.hold_sigterm).result()  # it is ours
        before = signal.signal(signal.SIGTERM, handle)
        try:
            assert not pool.submit(lifecycle.hold_sigterm).result()
            assert signal.getsignal(signal.SIGTERM) is handle
        finally:
            signal.signal(signal.SIGTERM, before)
    client.close()
