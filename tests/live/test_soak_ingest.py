"""What the soak's ingest holds a sender to."""

from __future__ import annotations

import json
import socket

import pytest

from tests.live.soak import ingest as ingest_module
from tests.live.soak.ingest import Ingest
from tests.support.waiting import eventually

EVENT = {
    "eventId": "1",
    "anonymousId": "anon_1",
    "properties": {"token": "v.0", "anonymous_id": "anon_1"},
    "timestamp": "2026-07-01T12:00:00.000Z",
}


def post(sender: socket.socket) -> None:
    body = json.dumps(EVENT).encode()
    sender.sendall(b"POST /track HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@pytest.mark.parametrize("resets", [False, True])
def test_an_answer_that_a_reset_may_have_thrown_away_is_not_known(resets: bool) -> None:
    with Ingest() as ingest, socket.create_connection(("127.0.0.1", ingest.port)) as sender:
        post(sender)
        assert eventually(lambda: len(ingest.arrivals) == 1)
        if resets:
            ingest.fault("refuse")
            assert eventually(lambda: not ingest.arrivals[0].answered)
        assert ingest.arrivals[0].answered is not resets
        ingest.fault("")


def test_an_answer_of_long_before_is_known_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ingest() as ingest, socket.create_connection(("127.0.0.1", ingest.port)) as sender:
        post(sender)
        assert eventually(lambda: len(ingest.arrivals) == 1)
        monkeypatch.setattr(ingest_module, "PATIENCE", 0.0)  # as if it had gone by
        hung_up(ingest)
        assert ingest.arrivals[0].answered


def test_an_answer_is_known_once_the_next_request_comes() -> None:
    with Ingest() as ingest, socket.create_connection(("127.0.0.1", ingest.port)) as sender:
        post(sender)
        assert eventually(lambda: len(ingest.arrivals) == 1)
        ingest.fault("fail")
        post(sender)
        assert eventually(lambda: ingest.requests["fail"] == 1)
        hung_up(ingest)
        assert [each.answered for each in ingest.arrivals] == [True]


def hung_up(ingest: Ingest) -> None:
    """Have it reset every connection, and see that it has."""
    ingest.fault("refuse")
    assert eventually(lambda: not ingest._serving)
