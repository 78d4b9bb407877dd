"""gevent that patches late: after a fork, in a process that has imported everything before.

gunicorn does so with `--preload` and its gevent workers.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ingest import SILENCE, Answer, IngestServer, slow
from tests.support.scripts import Ended, Scripts

pytest.importorskip("gevent")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

# The alarm's default action ends a child that has locked itself up, and so the test.
PRELOADED = """
import os, signal, sys
from datalyr_core import Datalyr
client = Datalyr.from_env()
pid = os.fork()
if pid:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
signal.alarm(30)
from gevent import monkey; monkey.patch_all()
import gevent
gevent.reinit()
"""


def served(scripts: Scripts, worker: str, **options: object) -> Ended:
    """Run the code of a worker after it has patched."""
    return scripts.run(PRELOADED + worker, **options)


def test_a_preloaded_client_delivers(scripts: Scripts, ingest: IngestServer) -> None:
    ingest.answer = slow(0.01)  # more than one greenlet sends, on kept connections
    ended = served(
        scripts,
        "def visit(number):\n"
        "    for each in range(20):\n"
        "        client.track('u', f'{number} {each}')\n"
        "        gevent.sleep(0.005)\n"
        "gevent.joinall([gevent.spawn(visit, number) for number in range(10)])\n"
        "assert client.flush(timeout=25), client.stats\n"
        "client.track('u', 'last')",
        flush_at=1,
    )
    assert ended.code == 0, ended.err
    every = [f"{number} {each}" for number in range(10) for each in range(20)]
    assert sorted(ingest.names) == sorted([*every, "last"])


@pytest.fixture
def tls_ingest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[IngestServer]:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with IngestServer(context) as ingest:
        yield ingest


def test_a_preloaded_client_lets_others_run_while_it_waits_for_an_answer(
    scripts: Scripts, tls_ingest: IngestServer
) -> None:
    tls_ingest.answer = slow(1)
    ended = served(
        scripts,
        "client.track('u', 'E')\n"
        "flush = gevent.spawn(client.flush, 25)\n"
        "turns = 0\n"
        "while not flush.dead:\n"
        "    gevent.sleep(0.01)\n"
        "    turns += 1\n"
        "assert flush.value and turns > 10, (flush.value, turns, client.stats)",
        host=tls_ingest.url,
    )
    assert ended.code == 0, ended.err
    assert tls_ingest.names == ["E"]


def test_a_hook_that_waits_does_not_exempt_the_events_of_other_greenlets(
    scripts: Scripts, ingest: IngestServer
) -> None:
    hooked = PRELOADED.replace(
        "client = Datalyr.from_env()",
        "def before_send(event):\n"
        "    gevent.sleep(0.05)\n"
        "    event.properties['seen'] = True\n"
        "    return event\n"
        "def on_drop(event, reason):\n"
        "    gevent.sleep(0.05)\n"
        "    told.append(str(reason))\n"
        "told = []\n"
        "client = Datalyr.from_env(before_send=before_send, on_drop=on_drop)",
    )
    ended = scripts.run(
        hooked + "names = ['A', 'B', 'C', '', '']\n"
        "gevent.joinall([gevent.spawn(client.track, 'u', name) for name in names])\n"
        "assert client.flush(timeout=25), client.stats\n"
        "assert told == ['validation_error'] * 2, told"
    )
    assert ended.code == 0, ended.err
    assert sorted(ingest.names) == ["A", "B", "C"]
    assert all(body["properties"].get("seen") for body in ingest.accepted)


def test_the_time_of_a_request_is_its_own(scripts: Scripts, ingest: IngestServer) -> None:
    """One whose answer never ends is broken off, however many others are sent meanwhile."""
    ingest.script.append(Answer(drip=0.05))
    ended = served(
        scripts,
        "import time\n"
        "client.track('u', 'slow')\n"
        "give_up_at = time.monotonic() + 15\n"
        "while not client.stats.retried and time.monotonic() < give_up_at:\n"
        "    client.track('u', 'other')\n"
        "    gevent.sleep(0.1)\n"
        "assert client.stats.retried, client.stats\n"
        "assert client.flush(timeout=10), client.stats",
        timeout=1,
        flush_at=1,
    )
    assert ended.code == 0, ended.err
    assert "slow" in ingest.names


def test_the_deadline_of_a_hook_that_flushes_is_its_own(
    scripts: Scripts, ingest: IngestServer
) -> None:
    """Two that deliver by themselves leave nothing behind that later requests had to keep to."""
    ingest.script.extend([Answer(400), Answer(400)])
    ingest.answer = slow(0.3)
    hooked = PRELOADED.replace(
        "client = Datalyr.from_env()",
        "def on_drop(events, reason):\n"
        "    hooks.append(reason)\n"
        "    while len(hooks) < 2:\n"
        "        gevent.sleep(0.01)\n"
        "    client.flush(timeout=0.1)\n"
        "hooks = []\n"
        "client = Datalyr.from_env(on_drop=on_drop)",
    )
    ended = scripts.run(
        hooked + "for name in 'ABCD':\n"
        "    client.track('u', name)\n"
        "client.flush(timeout=25)\n"
        "assert (client.stats.delivered, len(hooks)) == (2, 2), client.stats\n"
        "client.track('u', 'E')\n"
        "assert client.flush(timeout=10), client.stats\n",
        flush_at=1,
        concurrency=2,
    )
    assert ended.code == 0, ended.err
    assert sorted(set(ingest.names)) == ["C", "D", "E"]


def test_calls_of_other_greenlets_do_not_wait_for_room(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ingest.answer = SILENCE
    ended = served(
        scripts,
        "def patient():\n"
        "    with client.backpressure():\n"
        "        gevent.sleep(20)\n"
        "gevent.spawn(patient)\n"
        "gevent.sleep(0)\n"
        "with gevent.Timeout(10):\n"
        "    for number in range(101):\n"
        "        client.track('u', 'E')\n"
        "assert client.stats.dropped['queue_overflow'] == 1, client.stats",
        max_queue_size=100,
        exit_timeout=0.1,
    )
    assert ended.code == 0, ended.err
