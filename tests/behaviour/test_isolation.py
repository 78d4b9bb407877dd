"""Two requests never see each other's visitor: hundreds at once under real servers."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from tests.behaviour.servers import COMMANDS, Server, serving
from tests.support.ingest import IngestServer
from tests.support.waiting import eventually

AT_ONCE = 32
REQUESTS = 240
EVENTS = {
    "plain": ["first", "second"],
    "raising": ["first", "second"],
    "streaming": ["first", "second", "third"],
}
KINDS = list(product(("sync", "async"), EVENTS))


def ask(server: Server, n: int) -> None:
    """Make the request of one visitor, every other one of whom is logged in."""
    kind, view = KINDS[n % len(KINDS)]
    headers = {"Cookie": f"__dl_visitor_id=visitor-{n}"}
    if n % 2:
        headers["X-Session"] = str(n)
    status, body = server.get(f"/{kind}/{view}?n={n}", headers)
    assert status == (500 if view == "raising" else 200), body
    assert view != "plain" or body == f"visitor-{n}"


def expected() -> Counter[tuple[str, str, str | None, str]]:
    return Counter(
        (f"visitor-{n}", event, str(n) if n % 2 else None, str(n))
        for n in range(REQUESTS)
        for event in EVENTS[KINDS[n % len(KINDS)][1]]
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_no_event_bears_another_visitors_id(name: str, ingest: IngestServer) -> None:
    with serving(COMMANDS[name], ingest.url, flush_at=1) as server:
        server.get("/sync/silent")
        with ThreadPoolExecutor(AT_ONCE) as clients:
            list(clients.map(lambda n: ask(server, n), range(REQUESTS)))
        wanted = expected()
        eventually(lambda: len(ingest.accepted) >= wanted.total(), 20)
        server.terminate()
    came = Counter(
        (body["anonymousId"], body["event"], body.get("userId"), body["properties"]["n"])
        for body in ingest.accepted
    )
    assert came - wanted == Counter()  # nothing twice, nothing of somebody else
    assert wanted - came == Counter()  # nothing missing
    assert len({body["eventId"] for body in ingest.accepted}) == wanted.total()
