"""Celery: the visitor of the request that queues a task is the visitor of the task."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signals
from celery.app.trace import build_tracer
from flask import Flask, Request

from datalyr_core import current_tracker
from datalyr_core.context import activate
from datalyr_core.jobs.celery import install
from datalyr_core.jobs.running import running
from datalyr_core.testing import RecordingClient, recording_client
from datalyr_flask import FlaskDatalyr
from tests.jobs.apps import celery_app
from tests.jobs.apps.celery_app import app
from tests.jobs.conftest import WAIT, Arrived, worker
from tests.support.ingest import IngestServer
from tests.support.scripts import Scripts
from tests.support.web import PlainRequest

pytestmark = pytest.mark.timeout(240)  # whatever is waited for has bounds of its own

WHOLE = {"allowed": True, "anonymous_id": "anon_ada", "user_id": "7"}


@pytest.fixture(scope="module")
def celery_worker(
    broker: str, arrived: Arrived, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A prefork worker with two children, and this process's application on its broker."""
    log = tmp_path_factory.mktemp("celery") / "log"
    command = ("-m", "celery", "-A", "tests.jobs.apps.celery_app", "worker")
    options = ("--concurrency", "2", "--without-mingle", "--without-gossip")
    before = app.conf.broker_url, app.conf.result_backend
    with worker(*command, *options, broker=broker, ingest=arrived.url, log=log):
        app.conf.update(broker_url=broker, result_backend=broker)
        celery_app.track.delay("Ready").get(timeout=2 * WAIT)  # it has to come up first
        yield
        app.close()
    app.conf.update(broker_url=before[0], result_backend=before[1])


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


def as_somebody(client: RecordingClient, anonymous_id: str) -> activate:
    return activate(client.tracker(PlainRequest(cookie=f"__dl_visitor_id={anonymous_id}")))


def is_adas(*bodies: Any) -> bool:
    return all((body["anonymousId"], body.get("userId")) == ("anon_ada", "7") for body in bodies)


def test_a_task_that_a_view_queues(celery_worker: None, arrived: Arrived) -> None:
    def user_of(request: Request) -> str | None:
        return request.headers.get("x-user")

    web = Flask(__name__)
    with recording_client(user_id=user_of) as client:
        FlaskDatalyr(web, client)

        @web.post("/buy")
        def buy() -> str:
            return str(celery_app.track.delay("Of a view", amount=5).get(timeout=WAIT))

        browser = web.test_client()
        browser.set_cookie("__dl_visitor_id", "anon_flask")
        assert browser.post("/buy", headers={"x-user": "eva"}).text == "anon_flask"
        assert not client.events
    event = arrived.one("Of a view")
    assert (event["anonymousId"], event["userId"]) == ("anon_flask", "eva")
    assert event["properties"]["amount"] == 5


def test_a_visitor_without_an_id_has_one_in_the_request_and_the_task(
    celery_worker: None, arrived: Arrived, client: RecordingClient
) -> None:
    tracker = client.tracker(PlainRequest())
    with activate(tracker):
        celery_app.track.delay("Of somebody new").get(timeout=WAIT)
    assert arrived.one("Of somebody new")["anonymousId"] == tracker.anonymous_id


def test_every_task_of_a_chain(celery_worker: None, arrived: Arrived, as_ada: None) -> None:
    chain(*(celery_app.track.si("Of a chain", n=n) for n in range(3))).delay()
    events = arrived.wait("Of a chain", 3)
    assert is_adas(*events)
    assert [event["properties"]["n"] for event in events] == [0, 1, 2]


def test_every_task_of_a_group_and_the_body_of_a_chord(
    celery_worker: None, arrived: Arrived, as_ada: None
) -> None:
    group(celery_app.track.si("Of a group", n=n) for n in range(3)).delay()
    header = [celery_app.track.si("Of a header", n=n) for n in range(2)]
    chord(header)(celery_app.track.si("Of a body"))
    assert is_adas(*arrived.wait("Of a group", 3), *arrived.wait("Of a header", 2))
    assert is_adas(arrived.one("Of a body"))


def test_the_callback_of_a_task(celery_worker: None, arrived: Arrived, as_ada: None) -> None:
    celery_app.track.apply_async(("Linked to",), link=celery_app.track.si("Linked"))
    celery_app.fail.apply_async(("Fails",), link_error=celery_app.track.si("Linked to failure"))
    assert is_adas(arrived.one("Linked"), arrived.one("Linked to failure"))


def test_a_task_that_is_tried_again(celery_worker: None, arrived: Arrived, as_ada: None) -> None:
    celery_app.try_twice.delay("Tried again")
    events = arrived.wait("Tried again", 2)
    assert is_adas(*events)
    assert sorted(event["properties"]["retries"] for event in events) == [0, 1]


def test_a_task_that_is_tried_again_with_headers_of_its_own(
    celery_worker: None, arrived: Arrived, as_ada: None
) -> None:
    celery_app.try_twice.apply_async(("Tried with headers",), headers={"mine": 1})
    assert is_adas(*arrived.wait("Tried with headers", 2))


def test_a_task_that_a_task_queues(celery_worker: None, arrived: Arrived, as_ada: None) -> None:
    celery_app.queue_another.delay("Of another")
    assert is_adas(arrived.one("Of another"))


def test_a_user_whom_a_task_names_travels_on(
    celery_worker: None, arrived: Arrived, as_ada: None
) -> None:
    celery_app.log_in.delay("Of a task that logs in", "8")
    event = arrived.one("Of a task that logs in")
    assert (event["anonymousId"], event["userId"]) == ("anon_ada", "8")


@pytest.mark.parametrize(
    "no", [{"cookie": "__dl_opt_out=true"}, {"headers": {"sec-gpc": "1"}}], ids=["cookie", "gpc"]
)
def test_a_visitor_who_opted_out_is_not_tracked_in_a_task(
    celery_worker: None, arrived: Arrived, client: RecordingClient, no: Any
) -> None:
    with activate(client.tracker(PlainRequest(user_id=7, **no))):
        result = celery_app.track.delay("Opted out").get(timeout=WAIT)
        celery_app.queue_another.delay("Opted out").get(timeout=WAIT)
    assert result is None
    assert not arrived.named("Opted out")


def test_a_task_that_no_request_queues_has_nobody(celery_worker: None) -> None:
    assert celery_app.track.delay("Of nobody").get(timeout=WAIT) == "nobody"


def test_two_tasks_never_see_each_others_visitor(
    celery_worker: None, client: RecordingClient
) -> None:
    results = []
    for n in range(10):
        with as_somebody(client, f"anon_{n}"):
            results.append((f"anon_{n}", celery_app.track.delay("Of many")))
            if n % 3 == 0:
                celery_app.fail.delay("Of many, failing")
        results.append(("nobody", celery_app.track.delay("Of nobody")))
    for expected, result in results:
        assert result.get(timeout=WAIT) == expected


def test_headers_of_the_applications_own_stay(celery_worker: None, as_ada: None) -> None:
    task = celery_app.tell_headers
    ours = {"datalyr": WHOLE}
    assert task.delay().get(timeout=WAIT) == ours
    flat = task.apply_async(headers={"mine": 1}).get(timeout=WAIT)
    assert flat == {"mine": 1, **ours}
    given = {"headers": {"mine": 1}}
    assert task.apply_async(headers=given).get(timeout=WAIT) == {"mine": 1, **ours}
    assert given == {"headers": {"mine": 1}}, "it is the application's own dict"


def test_the_old_message_protocol(
    celery_worker: None, arrived: Arrived, as_ada: None, broker: str
) -> None:
    old = Celery("old", broker=broker, set_as_current=False, task_protocol=1)
    old.send_task("tests.jobs.apps.celery_app.track", ("Of protocol 1",))
    old.close()
    assert is_adas(arrived.one("Of protocol 1"))


@pytest.mark.parametrize("headers", [5, "x", [1], {}, {"datalyr": 5}, {"datalyr": {"allowed": 1}}])
def test_headers_that_others_have_written_fail_no_task(
    celery_worker: None, headers: object
) -> None:
    task = celery_app.track.apply_async(("Of whom",), headers={"headers": headers})
    assert task.get(timeout=WAIT) == "nobody"


def test_an_id_that_others_have_written_is_checked(celery_worker: None, arrived: Arrived) -> None:
    told = {"allowed": True, "anonymous_id": "two words", "user_id": {"no": "string"}}
    task = celery_app.track.apply_async(("Forged",), headers={"headers": {"datalyr": told}})
    assert task.get(timeout=WAIT).startswith("anon_")
    assert "userId" not in arrived.one("Forged")


# Without a worker


def test_an_eager_task_has_the_very_tracker_of_the_request(client: RecordingClient) -> None:
    eager = Celery(set_as_current=False, task_always_eager=True)
    install(eager)
    track = eager.task(name="track")(celery_app.track.run)

    @eager.task(name="log_in")
    def log_in() -> None:
        current_tracker().user_id = "7"
        track.delay("Logged in")

    with as_somebody(client, "anon_eager"):
        track.delay("Eager")
        log_in.delay()
        track.delay("Later")
    assert [(event.event, event.user_id) for event in client.events] == [
        ("Eager", None),
        ("Logged in", "7"),
        ("Later", "7"),
    ]
    assert {event.anonymous_id for event in client.events} == {"anon_eager"}
    assert track.delay("Of nobody").get() == "nobody"
    with running(WHOLE, client):
        assert track.delay("Of a task").get() == "anon_ada"


def test_a_task_that_is_called_as_a_function(client: RecordingClient) -> None:
    with as_somebody(client, "anon_called"):
        assert celery_app.track("Called") == "anon_called"
    assert celery_app.track("Called") == "nobody"


def run_as_a_worker_does(task: Any, *args: Any, headers: Any = None) -> Any:
    """Run a task by what a worker's children run it by."""
    request = {"id": "1", "headers": headers, "delivery_info": {}}
    run: Callable[..., Any] = build_tracer(task.name, task, app=task.app)
    outcome = run("1", args, {}, request)
    return outcome.retval if hasattr(outcome, "retval") else outcome[0]


@pytest.fixture
def make_task() -> Callable[..., Any]:
    """Make a task of an application of its own, which tells its visitor and its client."""

    def make(**install_options: Any) -> Any:
        made = Celery(set_as_current=False)
        install(made, **install_options)
        return made.task(name="tell")(celery_app.track.run)

    return make


@pytest.mark.parametrize("by", ["itself", "a function"])
def test_the_client_of_an_application(
    make_task: Callable[..., Any], client: RecordingClient, by: str
) -> None:
    task = make_task(client=client if by == "itself" else lambda: client)
    headers = {"datalyr": WHOLE}
    assert run_as_a_worker_does(task, "By its client", headers=headers) == "anon_ada"
    (event,) = client.events
    assert (event.anonymous_id, event.user_id) == ("anon_ada", "7")


def test_a_task_is_over_when_it_is_over(
    make_task: Callable[..., Any], client: RecordingClient
) -> None:
    task = make_task(client=client)
    assert run_as_a_worker_does(task, "One", headers={"headers": {"datalyr": WHOLE}}) == "anon_ada"
    assert current_tracker() is None
    assert run_as_a_worker_does(task, "Two") == "nobody"


def test_an_end_without_a_beginning_does_no_harm(make_task: Callable[..., Any]) -> None:
    task = make_task()
    signals.task_postrun.send(sender=task, task=task)


def test_a_message_without_headers_does_no_harm(as_ada: None) -> None:
    ((_, answer), *_) = signals.before_task_publish.send(sender="task", headers=None)
    assert answer is None


def test_installing_twice_is_installing_once(client: RecordingClient) -> None:
    used = [
        signals.before_task_publish,
        signals.task_prerun,
        signals.task_postrun,
        signals.worker_process_shutdown,
        signals.worker_shutdown,
    ]
    before = [len(signal.receivers) for signal in used]
    install(app)
    install()
    assert [len(signal.receivers) for signal in used] == before


def test_the_current_application_is_the_default(client: RecordingClient) -> None:
    made = Celery("current", set_as_current=True)
    try:
        install(client=client)
        task = made.task(name="tell")(celery_app.track.run)
        assert run_as_a_worker_does(task, "Of it", headers={"datalyr": WHOLE}) == "anon_ada"
        assert [event.event for event in client.events] == ["Of it"]
    finally:
        made.close()


def test_an_application_is_not_kept(client: RecordingClient) -> None:
    made = Celery("forgotten", set_as_current=False)
    install(made, client=client)
    kept = weakref.ref(made)
    made.close()
    del made
    gc.collect()
    assert kept() is None


ENDING = """
from celery import Celery, signals
from datalyr_core import Datalyr
from datalyr_core.jobs.celery import install

install(Celery())
client = Datalyr.from_env()
client.track("1", "Last")
getattr(signals, {signal!r}).send(sender=None)
print(client.stats.delivered)
client.track("1", "After")
print(client.stats.delivered)
"""


def test_a_worker_process_that_ends_delivers(scripts: Scripts) -> None:
    ended = scripts.run(ENDING.format(signal="worker_process_shutdown"))
    assert ended.out.split() == ["1", "2"], ended.err  # the second by the thread that tracks it


def test_a_worker_that_stops_delivers_and_may_go_on(scripts: Scripts) -> None:
    ended = scripts.run(ENDING.format(signal="worker_shutdown"), flush_interval=3600)
    assert ended.out.split() == ["1", "1"], ended.err  # as long as the process lives on


# As Celery's handler of SIGHUP does it; a thread of the pool would track "Late".
RESTARTING = """
import atexit, os, sys
from celery import Celery, signals
from datalyr_core import Datalyr
from datalyr_core.jobs.celery import install

install(Celery())
client = Datalyr.from_env()
client.track("1", "Last")
atexit.register(os.execv, sys.executable, [sys.executable, "-c", "print('restarted')"])
signals.worker_shutdown.send(sender=None)
client.track("1", "Late")
"""


def test_a_worker_that_restarts_delivers_what_its_tasks_go_on_to_track(
    scripts: Scripts, ingest: IngestServer
) -> None:
    ended = scripts.run(RESTARTING, flush_interval=3600)
    assert (ended.code, ended.out.split()) == (0, ["restarted"]), ended.err
    assert ingest.names == ["Last", "Late"]
