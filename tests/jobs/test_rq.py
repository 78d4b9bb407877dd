"""RQ: the visitor of the request that queues a job is the visitor of the job."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import rq
from flask import Flask
from redis import Redis
from rq.decorators import job as job_decorator
from rq.job import Job, JobStatus

from datalyr_core.context import activate
from datalyr_core.jobs.rq import Queue
from datalyr_core.testing import RecordingClient, recording_client
from datalyr_flask import FlaskDatalyr
from tests.jobs.apps import rq_jobs
from tests.jobs.conftest import WAIT, Arrived, worker
from tests.support.scripts import Scripts
from tests.support.waiting import eventually
from tests.support.web import PlainRequest

pytestmark = pytest.mark.timeout(240)  # whatever is waited for has bounds of its own

WHOLE = {"allowed": True, "anonymous_id": "anon_ada", "user_id": "7"}


@pytest.fixture(scope="module")
def rq_worker(
    broker: str, arrived: Arrived, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A worker that forks a work horse for each job.

    Nothing but the end of a work horse can deliver: a pass would begin in an hour.
    """
    log = tmp_path_factory.mktemp("rq") / "log"
    command = ("-m", "rq.cli", "worker", "--url", broker, "--with-scheduler")
    ours = ("--worker-class", "datalyr_core.jobs.rq.Worker")
    never = {"flush_at": 100, "flush_interval": 3600}
    with worker(*command, *ours, broker=broker, ingest=arrived.url, log=log, **never):
        yield


@pytest.fixture
def connection(broker: str) -> Iterator[Redis]:
    with Redis.from_url(broker) as made:
        yield made


@pytest.fixture
def queue(connection: Redis) -> Queue:
    return Queue(connection=connection)


@pytest.fixture
def client() -> Iterator[RecordingClient]:
    """The web process's client; none of the jobs' events may come here."""
    with recording_client() as made:
        yield made


@pytest.fixture
def as_ada(client: RecordingClient) -> Iterator[None]:
    """A request of a visitor who has logged in."""
    request = PlainRequest(cookie="__dl_visitor_id=anon_ada", user_id=7)
    with activate(client.tracker(request)):
        yield
    assert not client.stats.accepted


def is_adas(*bodies: Any) -> bool:
    return all((body["anonymousId"], body.get("userId")) == ("anon_ada", "7") for body in bodies)


def result_of(job: Job) -> Any:
    assert eventually(lambda: job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED), WAIT)
    return job.return_value(refresh=True)


def test_a_job_that_a_view_queues(rq_worker: None, arrived: Arrived, queue: Queue) -> None:
    web = Flask(__name__)
    with recording_client(user_id=lambda request: request.headers.get("x-user")) as client:
        FlaskDatalyr(web, client)

        @web.post("/buy")
        def buy() -> str:
            queue.enqueue(rq_jobs.track, "Of a view", amount=5)
            return "queued"

        browser = web.test_client()
        browser.set_cookie("__dl_visitor_id", "anon_flask")
        browser.post("/buy", headers={"x-user": "eva"})
        assert not client.events
    event = arrived.one("Of a view")
    assert (event["anonymousId"], event["userId"]) == ("anon_flask", "eva")
    assert event["properties"]["amount"] == 5


def test_every_way_to_queue_a_job(
    rq_worker: None, arrived: Arrived, queue: Queue, as_ada: None
) -> None:
    queue.enqueue_call(rq_jobs.track, ("Called",))
    queue.enqueue_many([Queue.prepare_data(rq_jobs.track, ("Of many",)) for _ in range(2)])
    queue.enqueue_in(timedelta(milliseconds=1), rq_jobs.track, "Scheduled")
    first = queue.enqueue(rq_jobs.track, "First")
    queue.enqueue(rq_jobs.track, "Dependent", depends_on=first)
    decorated = job_decorator(queue, connection=queue.connection)(rq_jobs.track)
    decorated.delay("Decorated")
    for name in ("Called", "Of many", "Scheduled", "Dependent", "Decorated"):
        assert is_adas(*arrived.wait(name))


def test_a_job_that_is_tried_again(
    rq_worker: None, arrived: Arrived, queue: Queue, as_ada: None
) -> None:
    queue.enqueue(rq_jobs.fail_once, "Tried again", retry=rq.Retry(max=1))
    events = arrived.wait("Tried again", 2)
    assert is_adas(*events)
    assert [event["properties"]["tries"] for event in events] == [1, 2]


def test_a_job_that_a_job_queues(
    rq_worker: None, arrived: Arrived, queue: Queue, as_ada: None
) -> None:
    queue.enqueue(rq_jobs.queue_another, "Of another")
    assert is_adas(arrived.one("Of another"))


def test_a_job_in_an_event_loop(
    rq_worker: None, arrived: Arrived, queue: Queue, as_ada: None
) -> None:
    queue.enqueue(rq_jobs.track_in_a_loop, "In a loop")
    assert is_adas(arrived.one("In a loop"))


def test_the_callback_of_a_job(
    rq_worker: None, arrived: Arrived, queue: Queue, as_ada: None
) -> None:
    queue.enqueue(rq_jobs.track, "Before", on_success=rq.Callback(rq_jobs.on_success))
    assert is_adas(arrived.one("After anon_ada"))


def test_a_visitor_who_opted_out_is_not_tracked_in_a_job(
    rq_worker: None, arrived: Arrived, queue: Queue, client: RecordingClient
) -> None:
    with activate(client.tracker(PlainRequest(cookie="__dl_opt_out=true"))):
        job = queue.enqueue(rq_jobs.track, "Opted out")
    assert job.meta == {"datalyr": {"allowed": False}}
    assert result_of(job) is None
    assert not arrived.named("Opted out")


def test_a_job_that_no_request_queues_has_nobody(rq_worker: None, queue: Queue) -> None:
    job = queue.enqueue(rq_jobs.track, "Of nobody")
    assert job.meta == {}
    assert result_of(job) == "nobody"


def test_what_the_application_keeps_in_meta_stays(queue: Queue, as_ada: None) -> None:
    meta = {"mine": 1}
    job = queue.create_job(rq_jobs.track, ("Never queued",), meta=meta)
    assert job.meta == {"mine": 1, "datalyr": WHOLE}
    assert meta == {"mine": 1}


@pytest.mark.parametrize("told", [5, "x", {"allowed": 1}])
def test_meta_that_others_have_written_fails_no_job(
    rq_worker: None, queue: Queue, told: object
) -> None:
    assert result_of(queue.enqueue(rq_jobs.track, "Whose", meta={"datalyr": told})) == "nobody"


def test_a_synchronous_queue_has_the_very_tracker_of_the_request(
    connection: Redis, client: RecordingClient
) -> None:
    tracker = client.tracker(PlainRequest(cookie="__dl_visitor_id=anon_sync"))
    with activate(tracker):
        Queue(connection=connection, is_async=False).enqueue(rq_jobs.track, "At once")
    (event,) = client.events
    assert (event.event, event.anonymous_id) == ("At once", "anon_sync")


# Other workers


SIMPLE = """
import os
from redis import Redis
from datalyr_core import Datalyr
from datalyr_core.jobs.rq import Queue, SimpleWorker
from tests.jobs.apps import rq_jobs

client = Datalyr.from_env()

class Worker(SimpleWorker):
    datalyr = client

    def perform_job(self, *args):
        self._is_horse = {horse}
        try:
            return super().perform_job(*args)
        finally:
            self._is_horse = False

told = {"allowed": True, "anonymous_id": "anon_ada", "user_id": "7"}
with Redis.from_url(os.environ["TEST_BROKER"]) as connection:
    queue = Queue("simple", connection=connection)
    ada = queue.enqueue(rq_jobs.track, "Simple", meta={"datalyr": told})
    nobody = queue.enqueue(rq_jobs.track, "Simple")
    worker = Worker([queue], connection=connection)
    worker.work(burst=True)
    results = [job.return_value(refresh=True) for job in (ada, nobody)]
    print("\\n", *results, client.stats.accepted, client.stats.delivered)
"""


def test_a_simple_worker_goes_on_without_waiting(
    scripts: Scripts, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BROKER", broker)
    ended = scripts.run(SIMPLE.replace("{horse}", "False"), flush_interval=3600)
    assert ended.out.splitlines()[-1].split() == ["anon_ada", "nobody", "1", "0"], ended.err


def test_a_work_horse_delivers_when_its_job_is_over(
    scripts: Scripts, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_BROKER", broker)
    ended = scripts.run(SIMPLE.replace("{horse}", "True"), flush_interval=3600)
    assert ended.out.splitlines()[-1].split() == ["anon_ada", "nobody", "1", "1"], ended.err
