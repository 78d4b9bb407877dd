"""What the soak's ingest holds a sender to."""

from __future__ import annotations

import json
import socket

import pytest

from tests.live.soak.ingest import Ingest
from tests.support.waiting import eventually

EVENT = {
    "eventId": "1",
    "anonymousId": "anon_1",
    "properties": {"token": "v.0", "anonymous_id": "anon_1"},
    "timestamp": "2026-07-01T12:00:00.000Z",
}


@pytest.mark.parametrize("resets", [False, True])
def test_an_answer_that_a_reset_may_have_thrown_away_is_not_known(resets: bool) -> None:
    body = json.dumps(EVENT).encode()
    with Ingest() as ingest, socket.create_connection(("127.0.0.1", ingest.port)) as sender:
        sender.sendall(b"POST /track HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        assert eventually(lambda: len(ingest.arrivals) == 1)
        if resets:
            ingest.fault("refuse")
            assert eventually(lambda: not ingest.arrivals[0].answered)
        assert ingest.arrivals[0].answered is not resets
        ingest.fault("")
