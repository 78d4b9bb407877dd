"""Which client a job's tracker belongs to, and where it is the current one."""

from __future__ import annotations

import contextvars
import threading
from textwrap import dedent
from typing import Any

import pytest
from flask import Flask

from datalyr_core import current_tracker
from datalyr_core.context import activate
from datalyr_core.jobs.running import running
from datalyr_core.testing import recording_client
from datalyr_flask import FlaskDatalyr
from tests.support.ingest import IngestServer
from tests.support.scripts import Scripts
from tests.support.web import PlainRequest

WHOLE = {"allowed": True, "anonymous_id": "anon_ada", "user_id": "7"}

JOB = """
    import logging
    from datalyr_core import Datalyr, current_tracker
    from datalyr_core.jobs.running import deliver, running
    from datalyr_core.testing import recording_client

    logging.basicConfig(format="%(levelname)s %(message)s")
    WHOLE = {"allowed": True, "anonymous_id": "anon_ada", "user_id": "7"}

    def job(name, client=None):
        with running(WHOLE, client):
            return current_tracker().track(name)
"""


def test_the_tracker_is_one_and_only_within_the_job() -> None:
    with recording_client() as client:
        with running(WHOLE, client):
            assert current_tracker() is current_tracker() is not None
            with running(None, client):
                assert current_tracker() is None
            assert current_tracker() is not None
        assert current_tracker() is None


def test_threads_of_a_job_that_ask_at_once_get_one_tracker() -> None:
    found: list[Any] = []
    with recording_client() as client, running(WHOLE, client):
        contexts = [contextvars.copy_context() for _ in range(8)]
        threads = [
            threading.Thread(target=context.run, args=(lambda: found.append(current_tracker()),))
            for context in contexts
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(map(id, found))) == 1


def test_a_request_that_a_job_serves_itself_has_its_own_visitor() -> None:
    with recording_client() as client, running(WHOLE, client):
        request = client.tracker(PlainRequest(cookie="__dl_visitor_id=anon_bob"))
        with activate(request):
            assert current_tracker() is request


def test_a_flask_context_that_a_job_pushes_does_not_change_the_visitor() -> None:
    app = Flask(__name__)
    with recording_client() as client:
        FlaskDatalyr(app, client)
        with running(WHOLE, client), app.test_request_context("/for-its-urls"):
            tracker = current_tracker()
            assert tracker is not None
            assert tracker.anonymous_id == "anon_ada"
        with running(None, client), app.test_request_context("/"):
            tracker = current_tracker()
            assert tracker is not None
            assert tracker.anonymous_id != "anon_ada"


def test_a_client_can_be_given_by_a_function() -> None:
    with recording_client() as client, running(WHOLE, lambda: client):
        tracker = current_tracker()
        assert tracker is not None
        assert tracker.client is client


def run(scripts: Scripts, source: str, **options: object) -> tuple[list[str], list[str]]:
    """Run a script after the beginning of `JOB`."""
    ended = scripts.run(dedent(JOB) + dedent(source), **options)
    assert ended.code == 0, ended.err
    return ended.out.split(), [line for line in ended.err.splitlines() if line]


def test_the_client_of_the_process_is_found(scripts: Scripts) -> None:
    out, err = run(
        scripts,
        """
    client = recording_client()
    twin = recording_client()  # of the same key: either will do
    job("Found")
    print(*(event.event for event in client.events + twin.events))
    """,
    )
    assert out == ["Found"]
    assert not err


def test_without_one_a_client_is_made_from_the_environment_and_kept(
    scripts: Scripts, ingest: IngestServer
) -> None:
    out, err = run(
        scripts,
        """
    assert job("One") and job("Two")
    from datalyr_core import lifecycle
    print(len(lifecycle.clients()))
    """,
    )
    assert (out, err) == (["1"], [])
    assert sorted(ingest.names) == ["One", "Two"]


def test_a_client_from_the_environment_that_was_closed_is_made_again(
    scripts: Scripts, ingest: IngestServer
) -> None:
    out, err = run(
        scripts,
        """
    from datalyr_core import lifecycle
    job("One")
    (client,) = lifecycle.clients()
    client.close()
    print(job("Two") is not None)
    """,
    )
    assert (out, err) == (["True"], [])
    assert ingest.names == ["One", "Two"]


def test_a_client_from_the_environment_may_be_disabled(
    scripts: Scripts, ingest: IngestServer
) -> None:
    out, err = run(scripts, 'print(all((job("One"), job("Two"))))', enabled="false")
    assert (out, err) == (["True"], [])
    assert not ingest.names


def test_without_any_client_an_event_is_lost_and_said_to_be_once(scripts: Scripts) -> None:
    out, err = run(scripts, 'print(job("One"), job("Two"))', api_key="", enabled="true")
    assert out == ["None", "None"]
    (line,) = err
    assert "no client that is enabled" in line


def test_clients_of_several_keys_are_not_guessed_at(scripts: Scripts) -> None:
    out, err = run(
        scripts,
        """
    one, two = recording_client(), recording_client(api_key="dk_another")
    print(job("Whose"), job("Ones", one) is not None, one.stats.accepted, two.stats.accepted)
    """,
    )
    assert out == ["None", "True", "1", "0"]
    assert "clients of several keys" in err[0]
    assert "dk_" not in "".join(err)


@pytest.mark.parametrize("client", ["lambda: 1 / 0", "Datalyr.from_env"])
def test_a_client_that_cannot_be_had_fails_no_job(scripts: Scripts, client: str) -> None:
    out, err = run(scripts, f'print(job("One", {client}))', host="nonsense")
    assert out == ["None"]
    assert "could not be had" in err[0]


def test_a_client_that_is_missed_by_every_job_is_warned_of_once(scripts: Scripts) -> None:
    """Also where the error says something else each time, such as an object's address."""
    _, err = run(
        scripts,
        """
    def missing():
        raise LookupError(str(object()))
    job("One", missing), job("Two", missing)
    """,
    )
    assert "".join(err).count("could not be had") == 1


def test_deliver_waits_for_all_clients_and_no_longer_than_an_exit(
    scripts: Scripts, ingest: IngestServer
) -> None:
    out, _ = run(
        scripts,
        """
    deliver()  # of no client
    client = Datalyr.from_env()
    client.track("1", "One")
    deliver()
    print(client.stats.delivered)
    client.track("1", "Two")
    deliver()
    print(client.stats.delivered)
    """,
    )
    assert out == ["1", "2"]
    assert ingest.names == ["One", "Two"]
