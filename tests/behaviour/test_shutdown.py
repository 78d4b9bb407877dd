"""However a server is stopped, what was accepted is delivered."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException

import pytest

from tests.behaviour.servers import COMMANDS, serving
from tests.support.ingest import IngestServer, slow
from tests.support.waiting import eventually

PATIENT = {"flush_at": 100, "flush_interval": 3600}  # nothing is sent before the end


@pytest.mark.parametrize("name", COMMANDS)
def test_sigterm_delivers_what_waits(name: str, ingest: IngestServer) -> None:
    ingest.answer = slow(0.02)
    with serving(COMMANDS[name], ingest.url, **PATIENT) as server:
        for n in range(10):
            assert server.get(f"/sync/plain?n={n}")[0] == 200
            assert server.get(f"/async/streaming?n={n}")[0] == 200
        assert ingest.requests == []
        server.terminate()
    assert len(ingest.accepted) == len(ingest.requests) == 50
    assert len({body["eventId"] for body in ingest.accepted}) == 50


@pytest.mark.parametrize("name", COMMANDS)
def test_sigterm_in_the_middle_of_requests(name: str, ingest: IngestServer) -> None:
    """Requests that were answered have their events delivered; others may have failed."""
    with serving(COMMANDS[name], ingest.url, flush_at=1) as server:

        def ask(n: int) -> bool:
            try:
                status, _ = server.get(f"/async/plain?n={n}", {"Cookie": f"__dl_visitor_id={n}"})
            except (OSError, HTTPException):  # the server is gone, or going
                return False
            return status == 200

        with ThreadPoolExecutor(8) as clients:
            answers = clients.map(ask, range(400))
            assert eventually(lambda: ingest.requests, 60)
            server.terminate()
            answered = {str(n) for n, good in enumerate(answers) if good}
    whole = [body for body in ingest.accepted if body["anonymousId"] in answered]
    assert answered
    assert len(whole) == len({body["eventId"] for body in whole}) == 2 * len(answered)
