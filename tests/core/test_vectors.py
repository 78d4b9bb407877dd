"""Every recorded call of the Node SDK, through the public API and over a real socket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from datalyr_core import Datalyr, __version__
from tests.conftest import MakeClient
from tests.support.ingest import IngestServer

VECTORS = json.loads((Path(__file__).parent.parent / "wire" / "vectors.json").read_text())
UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
POSITIONAL = {
    "track": ("user_id", "event", "properties"),
    "identify": ("user_id", "traits"),
    "page": ("user_id", "name", "properties"),
    "alias": ("new_user_id", "previous_id"),
    "group": ("user_id", "group_id", "traits"),
    "track_purchase": ("user_id", "value", "currency", "properties"),
}


def named(vector: dict[str, Any]) -> str:
    told = vector["args"].get("event") or json.dumps(vector["args"])
    return f"{vector['call']}-{told}"[:70]


@pytest.fixture(params=["keywords", "positional"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def dropped() -> list[str]:
    return []


@pytest.fixture
def client(make_client: MakeClient, dropped: list[str]) -> Iterator[Datalyr]:
    return make_client(on_drop=lambda events, reason: dropped.extend([str(reason)] * len(events)))


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_vectors(
    vector: dict[str, Any], form: str, client: Datalyr, dropped: list[str], ingest: IngestServer
) -> None:
    begun = datetime.now(UTC)
    told = call(client, vector["call"], python_args(vector["args"]), form)
    client.flush()
    if vector["wire"] is None:
        assert (told, dropped, ingest.requests) == (None, [vector["dropped"]], [])
        return
    assert dropped == []
    [request] = ingest.requests
    assert request.body == resolved(vector["wire"], request.body, begun)
    assert told == request.body["eventId"]


def test_the_request_bears_the_headers_of_the_contract(
    client: Datalyr, ingest: IngestServer
) -> None:
    client.track("u", "E")
    client.flush()
    [request] = ingest.requests
    assert (request.method, request.path) == ("POST", "/track")
    assert request.headers["x-api-key"] == "dk_test"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == f"datalyr-python/{__version__}"


def test_every_call_is_recorded() -> None:
    assert {vector["call"] for vector in VECTORS} == set(POSITIONAL)


def python_args(args: dict[str, Any]) -> dict[str, Any]:
    """Take the Node SDK's one purchase object apart."""
    args = dict(args)
    purchase = args.pop("purchase", None)
    if purchase is not None:
        rest = {key: purchase[key] for key in purchase.keys() - {"value", "currency"}}
        args |= {"value": purchase.get("value"), "currency": purchase.get("currency")}
        args |= {"properties": rest} if rest else {}
    return args


def call(client: Datalyr, name: str, args: dict[str, Any], form: str) -> str | None:
    args = dict(args)
    positional = []
    if form == "positional":
        names = POSITIONAL[name]
        last = max((index for index, each in enumerate(names) if each in args), default=-1)
        positional = [args.pop(each, None) for each in names[: last + 1]]
    told: str | None = getattr(client, name)(*positional, **args)
    return told


def resolved(wire: Any, body: dict[str, Any], begun: datetime) -> Any:
    """Put what was generated in the place of the placeholders, after checking its form."""
    known = {
        "<anonymous id>": matching(rf"anon_{UUID4}", body["anonymousId"]),
        "<uuid4>": matching(UUID4, body["eventId"]),
        "<now>": recent(body["timestamp"], begun),
        "<library>": "datalyr-python",
        "<version>": __version__,
    }

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: resolve(item) for key, item in value.items()}
        if isinstance(value, list):
            return [resolve(item) for item in value]
        return known.get(value, value) if isinstance(value, str) else value

    return resolve(wire)


def matching(pattern: str, value: str) -> str | None:
    return value if re.fullmatch(pattern, value) else None


def recent(timestamp: str, begun: datetime) -> str | None:
    moment = datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%S.%f%z")
    earliest = begun - timedelta(milliseconds=1)  # it is cut to milliseconds
    return timestamp if earliest <= moment <= datetime.now(UTC) else None
