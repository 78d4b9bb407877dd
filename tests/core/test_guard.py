"""The guard: in a test run nothing reaches an ingest on another machine, and elsewhere all does.

The ingest of these tests is a proxy as well, so that a host of any name leads to it.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from datalyr_core import guard
from tests.conftest import MakeClient
from tests.support.engines import both_engines
from tests.support.ingest import IngestServer
from tests.support.scripts import Ended, Scripts

ELSEWHERE = "http://ingest.example/track"
WARNING = (
    "event dropped (permanent_client_error): this is a test run and ingest.example is not on "
    "this machine; record events with the fixture datalyr_events, or set DATALYR_LIVE=1 to "
    "send them for real"
)


@pytest.fixture(autouse=True)
def every_name_leads_to_the_ingest(ingest: IngestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{ingest.port}")
    for name in ("NO_PROXY", "no_proxy", "DATALYR_LIVE"):
        monkeypatch.delenv(name, raising=False)


# In this process, which runs a test


@both_engines
def test_a_host_elsewhere_is_refused_with_one_warning(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    drops, errors = [], []
    client = make_client(
        host=ELSEWHERE,
        on_drop=lambda events, reason: drops.append((events[0].event, reason)),
        on_error=lambda event, error: errors.append(str(error)),
    )
    caplog.clear()
    for _ in range(3):
        client.track("u", "E")
    assert client.flush() is False
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [WARNING]
    assert drops == 3 * [("E", "permanent_client_error")]
    assert len(errors) == 3
    assert "dk_test" not in "".join(errors)
    stats = client.stats
    assert (stats.delivered, stats.retried, stats.waiting) == (0, 0, 0)
    assert stats.dropped["permanent_client_error"] == 3
    assert ingest.connections == 0


@pytest.mark.parametrize("live", ["1", "true", " YES "])
@both_engines
def test_a_test_that_says_so_sends(
    make_client: MakeClient, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch, live: str
) -> None:
    monkeypatch.setenv("DATALYR_LIVE", live)
    client = make_client(host=ELSEWHERE)
    client.track("u", "E")
    assert client.flush()
    assert ingest.names == ["E"]


@pytest.mark.parametrize("live", ["", "0", "false", "No"])
def test_what_does_not_say_so(monkeypatch: pytest.MonkeyPatch, live: str) -> None:
    monkeypatch.setenv("DATALYR_LIVE", live)
    assert guard.refusal("ingest.example")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "shop.localhost"])
def test_this_machine_is_no_matter(name: str) -> None:
    assert guard.host_elsewhere(f"http://{name}:8765/track") is None


def test_it_is_a_test_run_between_two_tests_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert guard.refusal("ingest.example")


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_ready_http_client_on_the_network_is_refused(
    library: str, make_client: MakeClient, ingest: IngestServer
) -> None:
    with pytest.importorskip(library).Client() as http:
        client = make_client(host=ELSEWHERE, http_client=http)
        client.track("u", "E")
        assert not client.flush()
    assert ingest.connections == 0


def test_a_ready_http_client_on_a_mock_is_the_applications_own_matter(
    make_client: MakeClient,
) -> None:
    mock = httpx.MockTransport(lambda request: httpx.Response(200))
    with httpx.Client(transport=mock) as http:
        client = make_client(host=ELSEWHERE, http_client=http)
        client.track("u", "E")
        assert client.flush()


# In other processes

TRACK = """
from datalyr_core import Datalyr

client = Datalyr.from_env(on_drop=lambda events, reason: print(reason, len(events)))
"""

Run = Callable[[str], Ended]


@pytest.fixture
def run(scripts: Scripts, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a program whose ingest is elsewhere, as if no test had started it."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(source: str) -> Ended:
        for name in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
            monkeypatch.delenv(name, raising=False)
        return scripts.run(source, host=ELSEWHERE)

    return run


def test_production_sends_whatever_is_imported_and_whatever_the_environment_says(
    run: Run, ingest: IngestServer
) -> None:
    ended = run(
        TRACK
        + """
import os, unittest
import pytest, datalyr_core.pytest_plugin, datalyr_core.testing

os.environ["PYTEST_VERSION"] = "9.2.0"  # build files pin it so

class Tests(unittest.TestCase):
    "A program may hold its own tests."

client.track("u", "E")
print(client.flush(), client.stats.dropped["permanent_client_error"])
"""
    )
    assert ended.out == "True 0\n", ended.err
    assert ingest.names == ["E"]


def test_no_frame_is_held_where_no_runner_is_imported(run: Run) -> None:
    """What was local to a frame that somebody else holds ends in the wrong thread."""
    ended = run(
        TRACK
        + """
import sys

sys._current_frames = lambda: print("looked") or {}
client.track("u", "E")
print(client.flush())
"""
    )
    assert ended.out == "True\n", ended.err


@pytest.mark.parametrize(
    ("before", "then"),
    [("", ""), ("client.track('u', 'E')", "self.assertFalse(client.flush(20))")],
    ids=["tracked in a test, sent at the exit", "tracked before the tests, sent in one"],
)
def test_a_file_that_runs_its_unittest_tests_is_refused(
    run: Run, ingest: IngestServer, before: str, then: str
) -> None:
    ended = run(
        TRACK
        + f"""
import unittest

{before}

class Tests(unittest.TestCase):
    def test_it(self):
        {then or "client.track('u', 'E')"}

unittest.main()
"""
    )
    assert ended.code == 0, ended.err
    assert ended.out == "permanent_client_error 1\n", ended.err
    assert ended.err.count(WARNING) == 1
    assert ingest.connections == 0


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ("", "run()"),
        ("-p datalyr", "thread = threading.Thread(target=run); thread.start(); thread.join()"),
    ],
    ids=["in the main thread, without the plugin", "in another thread"],
)
def test_what_pytest_leaves_to_the_exit_is_refused(
    run: Run, ingest: IngestServer, options: str, call: str
) -> None:
    ended = run(
        f"""
        import os, threading

        if os.environ.get("PYTEST_VERSION"):
            from datalyr_core import Datalyr

            client = Datalyr.from_env()

            def test_it():
                client.track("u", "E")

        else:
            import pytest

            def run():
                pytest.main(["--rootdir=.", "-c", os.devnull, *{options.split()}, __file__])

            {call}
        """
    )
    assert "1 passed" in ended.out, ended.out + ended.err
    assert ended.err.count(WARNING) == 1, ended.err
    assert ingest.connections == 0
