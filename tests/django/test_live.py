"""Streams, files, transactions and tasks under real servers of both kinds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.behaviour.servers import GTHREAD, UVICORN, serving
from tests.support.ingest import IngestServer

SSE = "data: 0\n\ndata: 1\n\ndata: 2\n\n"
SERVERS = {
    "wsgi": ((*GTHREAD, "tests.django.live:wsgi"), "/stream"),
    "asgi": ((*UVICORN, "tests.django.live:asgi"), "/astream"),
}


@pytest.mark.timeout(300)  # a busy machine may take a minute to start a server
@pytest.mark.parametrize("kind", SERVERS)
def test_every_kind_of_view_under_a_real_server(kind: str, ingest: IngestServer) -> None:
    command, stream = SERVERS[kind]
    with serving(command, ingest.url) as server:
        pages = {
            path: server.get(path, {"cookie": f"__dl_visitor_id={path.strip('/')}"}, 120)
            for path in (stream, "/file", "/order", "/order?fail=1", "/task")
        }
        server.terminate(120)
    assert {status for status, _ in pages.values()} == {200}
    assert pages[stream][1] == SSE
    assert pages["/file"][1] == Path(__file__).with_name("live.py").read_text()
    name = stream.strip("/")
    assert sorted((body["anonymousId"], body["event"]) for body in ingest.accepted) == sorted(
        [(name, "Ticked")] * 3 + [("file", "Downloaded"), ("order", "Ordered"), ("task", "Worked")]
    )
