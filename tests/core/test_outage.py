"""The client while the ingest fails: what is tried again, when, and what is given up."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any

import httpx
import pytest

from datalyr_core import Datalyr, Event, Reply, TransportError
from datalyr_core.delivery import connection, http
from tests.conftest import MakeClient
from tests.faults.site import DrippingBody, FaultyIngest
from tests.support.engines import both_engines
from tests.support.ingest import (
    CUT_SHORT,
    DOWN,
    GARBAGE,
    HUGE,
    OK,
    RESET,
    SILENCE,
    Answer,
    IngestServer,
    Received,
    slow,
)
from tests.support.proxy import SocksProxy, unix_socket_to
from tests.support.waiting import eventually


class Hooks:
    """Keep what the application's hooks are told."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, str]] = []
        self.drops: list[tuple[str, str]] = []

    @property
    def options(self) -> dict[str, Any]:
        return {"on_error": self._on_error, "on_drop": self._on_drop}

    def _on_error(self, event: Event, error: Exception) -> None:
        assert isinstance(error, TransportError)
        self.errors.append((event.event, str(error)))

    def _on_drop(self, events: list[Event], reason: str) -> None:
        self.drops.extend((event.event, str(reason)) for event in events)


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


def track(client: Datalyr, count: int) -> None:
    for number in range(count):
        client.track("u", f"E{number}")


def sender_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "datalyr-sender"]


def records(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == level]


# Permanent


@pytest.mark.parametrize("status", [301, 400, 404, 413, 422])
@both_engines
def test_a_permanent_status_drops_the_event_at_once(
    status: int, make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.script.append(Answer(status, body=b"no such thing"))
    client = make_client(concurrency=1, **hooks.options)
    track(client, 2)
    assert not client.flush()
    assert [request.body["event"] for request in ingest.requests] == ["E0", "E1"]
    assert hooks.drops == [("E0", "permanent_client_error")]
    [(event, error)] = hooks.errors
    assert (event, f"HTTP {status}" in error, "no such thing" in error) == ("E0", True, True)
    assert (client.stats.delivered, client.stats.retried) == (1, 0)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_one_loud_error(
    status: int, make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.answer = Answer(status)
    client = make_client(api_key="dk_hush")
    track(client, 5)
    assert not client.flush()
    [message] = records(caplog, logging.ERROR)
    assert "check api_key" in message
    assert client.stats.dropped == {"permanent_client_error": 5}
    assert "hush" not in caplog.text


def test_a_key_that_is_refused_in_two_ways_is_still_one_loud_error(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.script.extend([Answer(401), Answer(403)])
    client = make_client(concurrency=1)
    track(client, 2)
    client.flush()
    assert len(records(caplog, logging.ERROR)) == 1


@both_engines
def test_a_key_that_the_ingest_repeats_is_told_to_nobody(
    make_client: MakeClient,
    ingest: IngestServer,
    hooks: Hooks,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "datalyr")
    ingest.script.append(Answer(401, {"X-Key": "dk_hush"}, b"Invalid key: dk_hush"))
    client = make_client(api_key="dk_hush", debug=True, **hooks.options)
    track(client, 1)
    client.flush()
    assert hooks.errors[0][1] == "HTTP 401 'Invalid key: <api_key>'"
    assert "<api_key>" in caplog.text
    assert "hush" not in caplog.text


def test_a_key_in_an_error_of_a_transport_is_told_to_nobody(
    make_client: MakeClient, hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    class Telling:
        def send(self, body: bytes) -> Reply:
            raise ValueError("bad header: dk_hush")

    client = make_client(api_key="dk_hush", transport=Telling(), retry_limit=0, **hooks.options)
    track(client, 1)
    client.flush()
    assert hooks.errors == [("E0", "ValueError: bad header: <api_key>")]
    assert "hush" not in caplog.text


def test_answers_that_differ_in_their_text_are_one_line(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.answer = lambda request: Answer(400, body=request.body["eventId"].encode())
    client = make_client()
    track(client, 30)
    client.flush()
    assert client.stats.dropped == {"permanent_client_error": 30}
    assert len(caplog.records) == 1


@both_engines
def test_redirects_are_not_followed(make_client: MakeClient, ingest: IngestServer) -> None:
    ingest.answer = Answer(307, headers={"Location": f"{ingest.url}/elsewhere"})
    client = make_client()
    track(client, 1)
    assert not client.flush()
    assert [request.path for request in ingest.requests] == ["/track"]
    assert client.stats.dropped == {"permanent_client_error": 1}


# Transient


@pytest.mark.parametrize("status", [408, 429, 500, 503])
@both_engines
def test_a_transient_status_is_tried_again(
    status: int, make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.script.append(Answer(status))
    client = make_client(**hooks.options)
    event_id = client.track("u", "E")
    assert client.flush()
    first, second = ingest.requests
    assert first.raw == second.raw
    assert first.body["eventId"] == event_id
    assert 0.4 <= second.at - first.at <= 1.5
    assert (client.stats.retried, hooks.drops) == (1, [])


@pytest.mark.parametrize("fault", [RESET, CUT_SHORT, GARBAGE], ids=["reset", "cut", "garbage"])
@both_engines
def test_a_broken_connection_is_tried_again(
    fault: Answer, make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.script.append(fault)
    client = make_client()
    track(client, 1)
    assert client.flush()
    assert (ingest.names, client.stats.retried) == (["E0"], 1)


@pytest.mark.parametrize(
    "transport",
    [
        lambda body: (_ for _ in ()).throw(TransportError("refused")),
        lambda body: 1 / 0,
        lambda body: "no reply",
    ],
    ids=["told", "raises", "nonsense"],
)
def test_a_transport_that_gives_no_answer_is_transient(
    transport: Callable[[bytes], Reply], make_client: MakeClient, hooks: Hooks
) -> None:
    class Broken:
        def send(self, body: bytes) -> Reply:
            return transport(body)

    client = make_client(transport=Broken(), retry_limit=0, **hooks.options)
    track(client, 1)
    assert not client.flush(timeout=5)
    assert client.stats.waiting == 1
    assert len(hooks.errors) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_event_of_a_thread_that_is_made_to_end_goes_back(
    make_client: MakeClient, hooks: Hooks
) -> None:
    class Ending:
        ends = True

        def send(self, body: bytes) -> Reply:
            if self.ends:
                self.ends = False
                raise SystemExit
            return Reply(200)

    client = make_client(transport=Ending(), **hooks.options)
    track(client, 1)
    assert client.flush(timeout=5)
    assert (client.stats.delivered, client.stats.retried) == (1, 1)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(503, None, ""), None),  # type: ignore[arg-type]  # on purpose
        (Reply(429, {"Retry-After": None}, ""), None),  # type: ignore[dict-item]  # on purpose
        (Reply("503", {}, ""), None),  # type: ignore[arg-type]  # on purpose
        (Reply("fine", {}, ""), None),  # type: ignore[arg-type]  # on purpose
        (Reply(400, {}, None), "permanent_client_error"),  # type: ignore[arg-type]  # on purpose
        (Reply("400", [("a", "b")], b"no"), "permanent_client_error"),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_a_reply_that_is_not_quite_one_loses_no_event(
    reply: Reply, reason: str | None, make_client: MakeClient, hooks: Hooks
) -> None:
    class Sloppy:
        def send(self, body: bytes) -> Reply:
            return reply

    client = make_client(transport=Sloppy(), retry_limit=0, **hooks.options)
    track(client, 1)
    assert not client.flush(timeout=5)
    assert len(hooks.errors) == 1
    assert client.stats.dropped == ({reason: 1} if reason else {})
    assert client.stats.waiting == (0 if reason else 1)


@both_engines
def test_a_reply_that_drips_takes_no_longer_than_a_request_may(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.answer = Answer(drip=0.2)  # each byte comes in time, the reply never
    client = make_client(timeout=1, retry_limit=0, **hooks.options)
    begun = time.monotonic()
    track(client, 1)
    assert not client.flush()
    assert 0.8 <= time.monotonic() - begun < 3
    assert re.search("ReadTimeout|timed out", hooks.errors[0][1])


@both_engines
def test_a_body_that_drips_keeps_no_thread_once_the_status_is_there(
    make_client: MakeClient,
) -> None:
    with FaultyIngest() as dripping:
        dripping.answer = DrippingBody(drip=0.2)
        client = make_client(host=dripping.url, timeout=30)
        track(client, 1)
        begun = time.monotonic()
        assert client.flush(timeout=30)
        assert time.monotonic() - begun < 10
    assert (client.stats.delivered, client.stats.retried) == (1, 0)


@both_engines
def test_a_silent_ingest_is_given_up_after_the_timeout(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.script.append(SILENCE)
    client = make_client(timeout=1)
    track(client, 1)
    begun = time.monotonic()
    assert client.flush()
    assert 1 <= time.monotonic() - begun < 4
    assert client.stats.retried == 1


@contextmanager
def taking_nothing(size: str) -> Iterator[str]:
    """Listen, and either accept no connection or read nothing of what comes on it."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        while size == "small":  # until the queue of those who wait to be accepted is full
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.5)
            try:
                waiting.connect(listener.getsockname())
            except TimeoutError:
                break
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/track"


@pytest.mark.parametrize(
    ("size", "error"), [("small", "ConnectTimeout"), ("large", "WriteTimeout")]
)
@both_engines
def test_an_ingest_that_takes_nothing_is_given_up_after_the_timeout(
    size: str, error: str, make_client: MakeClient, hooks: Hooks
) -> None:
    with taking_nothing(size) as url:
        client = make_client(host=url, timeout=1, retry_limit=0, **hooks.options)
        client.track("u", "E", {"text": "x" * (16_000_000 if size == "large" else 1)})
        assert not client.flush(timeout=30)
    assert re.search(f"{error}|timed out", hooks.errors[0][1])


@both_engines
def test_ten_megabytes_of_reply_are_not_read(make_client: MakeClient, ingest: IngestServer) -> None:
    ingest.script.append(HUGE)
    client = make_client(concurrency=1)
    track(client, 2)
    assert client.flush(timeout=5)
    assert (client.stats.delivered, client.stats.retried) == (2, 0)
    assert ingest.connections == 2  # one with an unread rest is of no more use


@pytest.mark.parametrize("status", [200, 400, 503])
@both_engines
def test_a_body_that_breaks_off_takes_nothing_away_from_the_status(
    status: int, make_client: MakeClient, ingest: IngestServer
) -> None:
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 100\r\n\r\n"
    ingest.script.append(Answer(status, raw=head.encode() + b"half of it"))
    client = make_client(retry_limit=1)
    track(client, 1)
    client.flush()
    assert len(ingest.requests) == (2 if status == 503 else 1)
    assert client.stats.delivered == (0 if status == 400 else 1)
    assert client.stats.dropped == ({"permanent_client_error": 1} if status == 400 else {})


@both_engines
def test_an_endless_reply_takes_no_longer_than_a_request_may(make_client: MakeClient) -> None:
    """Every byte in time, but never the last one."""
    with IngestServer() as dripping:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        dripping.answer = Answer(raw=head + b"x" * 70_000)
        client = make_client(host=dripping.url, timeout=1, concurrency=1)
        track(client, 1)
        assert client.flush(timeout=5)  # the beginning is enough to know the status
        assert client.stats.delivered == 1


@both_engines
def test_a_stale_connection_is_replaced_at_once_and_is_no_failure(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    client = make_client(concurrency=1, **hooks.options)
    track(client, 1)
    client.flush()
    # The server resets the kept connection in place of an answer, as if it had just closed.
    ingest.script.append(RESET)
    begun = time.monotonic()
    track(client, 1)
    assert client.flush()
    assert time.monotonic() - begun < 0.3
    assert (client.stats.retried, hooks.errors, ingest.connections) == (0, [], 2)


@both_engines
def test_all_stale_connections_are_passed_over(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.answer = slow(0.3)
    client = make_client(concurrency=5, **hooks.options)
    track(client, 5)
    client.flush()
    assert ingest.connections == 5
    # Each of the five that are kept is reset when it is used again.
    ingest.answer = lambda request: RESET if request.connection <= 5 else OK
    begun = time.monotonic()
    track(client, 1)
    assert client.flush()
    assert time.monotonic() - begun < 0.4
    assert (client.stats.retried, hooks.errors) == (0, [])


def test_a_kept_connection_that_breaks_off_late_is_a_failure(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    """Tried again in the little time that is left, its answer would come too late."""
    client = make_client(concurrency=1, timeout=1, retry_limit=0, **hooks.options)
    track(client, 1)
    client.flush()
    ingest.script.append(Answer(delay=0.5, cut=0))
    track(client, 1)
    assert not client.flush()
    assert len(hooks.errors) == 1
    assert len(ingest.requests) == 2


def test_a_kept_connection_may_take_a_round_trip_to_break_off(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    client = make_client(concurrency=1, **hooks.options)
    track(client, 1)
    client.flush()
    ingest.script.append(Answer(delay=0.1, cut=0))
    track(client, 1)
    assert client.flush()
    assert (client.stats.retried, hooks.errors) == (0, [])


@pytest.mark.parametrize("given", [False, True])
def test_an_event_is_sent_again_at_once_only_once(
    given: bool, make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    """Each request may have been taken before its connection was reset."""
    ingest.answer = slow(0.3)
    with httpx.Client() as http:
        options: dict[str, Any] = {"http_client": http} if given else {}
        client = make_client(concurrency=5, retry_limit=0, **hooks.options, **options)
        track(client, 5)
        client.flush()
        assert ingest.connections == 5
        ingest.answer = RESET
        track(client, 1)
        assert not client.flush()
        assert len(ingest.requests) == 7
        # One of our own is a new one: where one is stale, the others are likely to be.
        assert (ingest.requests[-1].connection == 6) is not given
        assert len(hooks.errors) == 1
        client.close(timeout=0)


def test_an_ingest_that_keeps_breaking_connections_off_is_told_of_once(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    broken: list[Received] = []

    def answer(request: Received) -> Answer:
        before = sum(each.connection == request.connection for each in ingest.requests)
        if before < 2:
            return OK
        broken.append(request)  # the second on each connection
        return RESET

    ingest.answer = answer
    client = make_client(concurrency=2)
    for _ in range(12):
        track(client, 1)
        assert client.flush()
        warned = [each for each in caplog.messages if "keeps breaking off" in each]
        # Two that are kept may have been closed meanwhile, and no more.
        assert len(warned) == (len(broken) > 2)
    assert len(broken) > 2
    assert client.stats.retried == 0


@pytest.mark.parametrize("via", ["a SOCKS proxy", "a unix socket"])
def test_a_new_connection_that_breaks_off_is_no_stale_one(
    via: str,
    make_client: MakeClient,
    ingest: IngestServer,
    hooks: Hooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingest.answer = RESET
    with ExitStack() as stack:
        options: dict[str, Any] = {**hooks.options, "retry_limit": 0}
        if via == "a SOCKS proxy":
            pytest.importorskip("socksio")
            proxy = stack.enter_context(SocksProxy(ingest.port))
            for name in ("NO_PROXY", "no_proxy"):
                monkeypatch.delenv(name, raising=False)
            monkeypatch.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("DATALYR_LIVE", "1")  # the name is not this machine's
            options["host"] = "http://ingest.example/track"
        else:
            path = stack.enter_context(unix_socket_to(ingest.port))
            transport = httpx.HTTPTransport(uds=path)
            options["http_client"] = stack.enter_context(httpx.Client(transport=transport))
        client = make_client(**options)
        track(client, 1)
        assert not client.flush()
        client.close(timeout=0)
    assert len(ingest.requests) == 1
    assert len(hooks.errors) == 1


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_stale_connection_of_a_given_client_is_no_failure_either(
    library: str, make_client: MakeClient, ingest: IngestServer
) -> None:
    with pytest.importorskip(library).Client() as http:
        client = make_client(concurrency=1, http_client=http)
        track(client, 1)
        client.flush()
        ingest.script.append(RESET)
        track(client, 1)
        assert client.flush()
        assert client.stats.retried == 0


def test_a_given_client_whose_connection_is_in_use_is_given_up_after_the_timeout(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    given = httpx.Client(limits=httpx.Limits(max_connections=1))
    with given, given.stream("POST", ingest.url, json={"event": "of the application"}):
        client = make_client(http_client=given, timeout=1, retry_limit=0, **hooks.options)
        track(client, 1)
        assert not client.flush(timeout=30)
    assert "PoolTimeout" in hooks.errors[0][1]


def test_a_given_client_that_has_no_connections_fails_as_it_says(
    make_client: MakeClient, hooks: Hooks
) -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        raise httpx.ReadError("on purpose")

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        client = make_client(http_client=http, retry_limit=0, **hooks.options)
        track(client, 1)
        assert not client.flush()
        assert len(calls) == len(hooks.errors) == 1


@both_engines
def test_a_connection_that_the_server_closed_while_idle_is_replaced(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    client = make_client(concurrency=1)
    track(client, 1)
    client.flush()
    ingest.close_idle()
    track(client, 1)
    assert client.flush()
    assert (client.stats.retried, ingest.connections) == (0, 2)


@both_engines
def test_a_connection_that_was_idle_for_too_long_is_not_used_again(
    make_client: MakeClient, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may be about to close it."""
    monkeypatch.setattr(http, "KEEP_ALIVE", 0.0)
    monkeypatch.setattr(connection, "KEEP_ALIVE", 0.0)
    client = make_client(concurrency=1)
    for _ in range(3):
        track(client, 1)
        assert client.flush()
    assert (client.stats.retried, ingest.connections) == (0, 3)


@both_engines
def test_a_stale_connection_to_an_ingest_that_is_gone_is_a_failure(
    make_client: MakeClient, hooks: Hooks
) -> None:
    with IngestServer() as going:
        client = make_client(host=going.url, retry_limit=0, **hooks.options)
        track(client, 1)
        client.flush()
        going.script.append(RESET)
        going.refuse()
        track(client, 1)
        assert not client.flush()
    assert len(hooks.errors) == 1


# How long


@both_engines
def test_retry_after_is_honoured(make_client: MakeClient, ingest: IngestServer) -> None:
    ingest.script.append(Answer(429, headers={"Retry-After": "2"}))
    client = make_client()
    track(client, 1)
    assert client.flush()  # hurries, but not past what was asked for
    first, second = ingest.requests
    assert second.at - first.at >= 1.9


def test_retry_after_holds_although_older_sends_succeed_meanwhile(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    def answer(request: Received) -> Answer:
        if request.body["event"] == "E0" and len(times("E0")) == 1:
            return Answer(429, {"Retry-After": "2"}, delay=0.1)
        return slow(0.5)

    def times(name: str) -> list[float]:
        return [each.at for each in ingest.requests if each.body["event"] == name]

    ingest.answer = answer
    client = make_client(concurrency=5)
    track(client, 5)
    assert client.flush()
    first, second = times("E0")
    assert second - first >= 2


def test_an_event_waits_its_own_time_although_others_succeed(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    tries: list[float] = []

    def answer(request: Received) -> Answer:
        if request.body["event"] != "bad":
            return slow(0.2)
        tries.append(request.at)
        return DOWN if len(tries) <= 3 else OK

    ingest.answer = answer
    client = make_client(concurrency=5, flush_at=1)
    track(client, 4)
    client.track("u", "bad")
    while not eventually(lambda: len(tries) == 4, 0.1) and len(ingest.requests) < 500:
        client.track("u", "good")
    waits = [later - sooner for sooner, later in pairwise(tries)]
    assert [wait >= least for wait, least in zip(waits, (0.5, 1, 2), strict=True)] == [True] * 3
    assert client.flush()


def test_one_probe_at_a_time_while_the_ingest_fails(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = Answer(503, delay=0.02)
    client = make_client(flush_at=1, concurrency=10)
    track(client, 200)
    assert eventually(lambda: client.stats.retried and not ingest.in_flight)
    before, ingest.most_in_flight = len(ingest.requests), 0
    assert before <= 10  # what was under way when it began
    assert eventually(lambda: len(ingest.requests) >= before + 2, 8)
    assert ingest.most_in_flight == 1
    assert len(ingest.requests) == before + 2
    assert client.stats.waiting == 200


def test_recovery_delivers_everything_once_and_in_order(
    make_client: MakeClient, ingest: IngestServer, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.script.extend([DOWN] * 2)
    client = make_client(concurrency=1)
    track(client, 200)
    assert client.flush()
    assert ingest.names == [f"E{number}" for number in range(200)]
    assert records(caplog, logging.WARNING) == [
        "the ingest fails (HTTP 503 'down'); events wait",
        "the ingest answers again; 199 wait",
    ]


# Until when


def test_flush_gives_up_after_a_whole_pass_that_delivered_nothing(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.answer = DOWN
    client = make_client(retry_limit=0, concurrency=1, flush_at=100, **hooks.options)
    track(client, 30)
    assert not client.flush()
    assert len(ingest.requests) == 2  # the first event, and one more to tell whose fault it is
    assert client.stats.waiting == 30
    assert hooks.drops == []
    ingest.answer = OK
    assert client.flush()
    assert sorted(ingest.names) == sorted(f"E{number}" for number in range(30))


def test_one_more_event_tells_that_it_is_the_ingest_and_keeps_its_retries(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.answer = DOWN
    client = make_client(retry_limit=1, concurrency=1, flush_at=100, **hooks.options)
    track(client, 5)
    assert not client.flush()
    assert not client.flush()
    assert [request.body["event"] for request in ingest.requests] == ["E0", "E0", "E1"] * 2
    assert [event for event, _ in hooks.errors] == ["E0", "E0"]


def test_flush_goes_on_as_long_as_a_pass_delivers_something(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    seen: Counter[str] = Counter()

    def every_other_time(request: Received) -> Answer:
        seen[request.body["event"]] += 1
        return DOWN if seen[request.body["event"]] == 1 else OK

    ingest.answer = every_other_time
    client = make_client(retry_limit=1)
    track(client, 3)
    assert client.flush()


def test_an_event_is_dropped_after_ten_failed_flushes(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.answer = DOWN
    client = make_client(retry_limit=0, **hooks.options)
    track(client, 1)
    for flushes in range(1, 11):
        assert hooks.drops == []
        assert not client.flush()
        assert len(ingest.requests) == flushes
    assert hooks.drops == [("E0", "max_flush_attempts")]
    assert len(hooks.errors) == 10
    assert (client.stats.waiting, client.flush()) == (0, True)
    assert caplog.text.count("the ingest fails") == 1
    assert "10 flushes failed, the last with: HTTP 503" in caplog.text


def test_one_bad_event_does_not_block_the_others(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.answer = lambda request: DOWN if request.body["event"] == "E0" else OK
    client = make_client(retry_limit=0, concurrency=1, **hooks.options)
    track(client, 10)
    assert not client.flush()
    assert ingest.names == [f"E{number}" for number in range(1, 10)]
    assert client.stats.waiting == 1
    while client.stats.waiting:
        client.flush()
    assert hooks.drops == [("E0", "max_flush_attempts")]


def test_a_long_outage_wears_out_no_single_event(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.answer = DOWN
    client = make_client(retry_limit=0, concurrency=1, **hooks.options)
    track(client, 10)
    for _ in range(5):
        client.flush()
    assert hooks.drops == []
    tried = Counter(request.body["event"] for request in ingest.requests)
    assert max(tried.values()) <= 4


def test_overflow_in_an_outage_drops_the_oldest(
    make_client: MakeClient, ingest: IngestServer, hooks: Hooks
) -> None:
    ingest.answer = DOWN
    client = make_client(max_queue_size=100, retry_limit=10, **hooks.options)
    track(client, 1)
    client.flush(timeout=0.1)
    track(client, 120)
    assert client.stats.waiting == 100
    assert len(hooks.drops) == 21
    assert {reason for _, reason in hooks.drops} == {"queue_overflow"}


@pytest.mark.parametrize("status", [200, 400, 503])
def test_an_answer_that_comes_after_the_event_was_given_up_counts_nothing(
    status: int, make_client: MakeClient, hooks: Hooks
) -> None:
    asked, answered = threading.Event(), threading.Event()

    class Late:
        def send(self, body: bytes) -> Reply:
            asked.set()
            answered.wait(5)
            return Reply(status)

    client = make_client(transport=Late(), flush_at=1, **hooks.options)
    track(client, 1)
    assert asked.wait(5)
    assert not client.close(timeout=0.05)
    answered.set()
    assert eventually(lambda: not sender_threads())
    assert client.stats.dropped == {"close_timeout": 1}
    assert (client.stats.delivered, client.stats.waiting) == (0, 0)
    assert hooks.drops == [("E0", "close_timeout")]
    assert hooks.errors == []


@both_engines
def test_a_failing_ingest_and_many_threads_lose_nothing(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    count = Counter[str]()
    lock = threading.Lock()

    def sometimes(request: Received) -> Answer:
        with lock:
            count["all"] += 1
            return RESET if count["all"] % 150 == 0 else OK

    ingest.answer = sometimes
    client = make_client(flush_at=5)
    threads = [threading.Thread(target=track, args=(client, 80)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(timeout=20)
    assert len(ingest.accepted) == client.stats.delivered == 320
    assert len({body["eventId"] for body in ingest.accepted}) == 320
