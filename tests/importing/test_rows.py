"""What rows a file has and which events they make, through `--dry-run` and the wire."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from datalyr_core.importing.source import MAX_LINE
from tests.importing.conftest import Ended
from tests.support.ingest import IngestServer

Run = Callable[..., Ended]


@pytest.fixture
def sent(run: Run, tmp_path: Path, ingest: IngestServer) -> Callable[..., list[Any]]:
    """Import a text and return what arrived, in the order of the event ids."""

    def sent(text: str | bytes, *arguments: object, name: str = "data") -> list[Any]:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        ended = run(path, *arguments)
        assert ended.code == 0, ended
        return sorted(ingest.accepted, key=lambda body: str(body["eventId"]))

    return sent


@pytest.fixture
def bad(run: Run, tmp_path: Path) -> Callable[..., list[str]]:
    """Check a text and return what is wrong with it."""

    def bad(text: str | bytes, *arguments: object, name: str = "data") -> list[str]:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        ended = run(path, "--dry-run", *arguments)
        assert ended.code == 1, ended
        return [line for line in ended.out.splitlines() if line.startswith("line ")]

    return bad


def test_json_lines(sent: Callable[..., list[Any]]) -> None:
    [first, second] = sent(
        '{"event": "Signup", "user_id": 7, "anonymous_id": "a", "event_id": "1", '
        '"timestamp": 1751373296, "properties": {"plan": "pro"}}\n'
        "\n"
        '{"event": "Visit", "userId": "u", "anonymousId": "b", "messageId": 2, '
        '"timestamp": "2026-07-01T14:34:56+02:00", "properties.path": "/"}'
    )
    assert (first["event"], first["userId"], first["anonymousId"]) == ("Signup", "7", "a")
    assert first["timestamp"] == "2025-07-01T12:34:56.000Z"
    assert first["properties"] == {"plan": "pro", "anonymous_id": "a"}
    assert (second["event"], second["userId"], second["eventId"]) == ("Visit", "u", "2")
    assert second["timestamp"] == "2026-07-01T12:34:56.000Z"
    assert second["properties"] == {"path": "/", "anonymous_id": "b"}


def test_what_went_over_the_wire_once_goes_over_it_again(
    sent: Callable[..., list[Any]], ingest: IngestServer
) -> None:
    wire = {
        "event": "$identify",
        "userId": "u",
        "anonymousId": "a",
        "eventId": "1",
        "properties": {"email": "u@example.com", "anonymous_id": "a"},
        "timestamp": "2026-07-01T12:34:56.000Z",
    }
    [event] = sent(orjson.dumps(wire))
    assert {**event, "context": None} == {**wire, "context": None}


def test_the_other_calls(sent: Callable[..., list[Any]]) -> None:
    events = sent(
        '{"type":"identify","user_id":"u","traits":{"plan":"pro"},"event_id":"1"}\n'
        '{"type":"page","user_id":"u","name":"Pricing","event_id":"2"}\n'
        '{"type":"alias","user_id":"new","previous_id":"old","event_id":"3"}\n'
        '{"type":"group","user_id":"u","group_id":"g","traits":{"name":"Acme"},"event_id":"4"}\n'
        '{"type":"purchase","user_id":"u","value":9.5,"currency":"eur","event_id":"5"}\n'
        '{"type":"track","event":"E","user_id":"u","event_id":"6"}\n'
    )
    told = [(body["event"], body["properties"]) for body in events]
    for _, properties in told:
        del properties["anonymous_id"]
    assert told == [
        ("$identify", {"plan": "pro"}),
        ("$pageview", {"name": "Pricing", "url": "Pricing"}),
        ("$alias", dict.fromkeys(["new_user_id", "userId"], "new")
         | dict.fromkeys(["previous_id", "previousId"], "old")),
        ("$group", {"groupId": "g", "name": "Acme"}),
        ("purchase", {"value": 9.5, "currency": "EUR"}),
        ("E", {}),
    ]  # fmt: skip


def test_csv_with_columns_named_as_the_fields(sent: Callable[..., list[Any]]) -> None:
    [first, second] = sent(
        "\ufeffevent,user_id,event_id,timestamp,properties,properties.plan,ignored\r\n"
        'Signup,u1,1,1751373296.5,"{""a"": 1}",pro,x\r\n'
        '"Two\nlines",,2,1751373296500,,,\r\n'
    )
    assert (first["event"], first["userId"]) == ("Signup", "u1")
    assert first["timestamp"] == second["timestamp"] == "2025-07-01T12:34:56.500Z"
    assert first["properties"] == {"a": 1, "plan": "pro", "anonymous_id": first["anonymousId"]}
    assert second["event"] == "Two\nlines"
    assert "userId" not in second
    assert second["properties"] == {"anonymous_id": second["anonymousId"]}


def test_csv_with_a_mapping(sent: Callable[..., list[Any]]) -> None:
    [event] = sent(
        'Kunde;Nr;Betrag;Menge;Neu;Mehr;Rest;Leer\nu1;1;49.90;12;yes;{"a": [1]};r;\n',
        *("--delimiter", ";", "--map", "user_id=Kunde", "--map", "event_id=Nr"),
        *("--set", "type=purchase", "--map", "value=Betrag"),
        *("--property", "count:number=Menge", "--property", "new:bool=Neu"),
        *("--property", "more:json=Mehr", "--property", "*"),
    )  # fmt: skip
    assert (event["event"], event["userId"], event["eventId"]) == ("purchase", "u1", "1")
    del event["properties"]["anonymous_id"]
    assert event["properties"] == {
        "value": 49.9, "currency": "USD", "count": 12, "new": True, "more": {"a": [1]}, "Rest": "r"
    }  # fmt: skip


def test_a_cell_that_is_empty_is_no_property(sent: Callable[..., list[Any]]) -> None:
    [event] = sent("event,a,b,properties.c\nE,,,\n", "--property", "x=a", "--property", "*")
    assert event["properties"] == {"anonymous_id": event["anonymousId"]}


def test_an_exact_number_stays_exact(sent: Callable[..., list[Any]], ingest: IngestServer) -> None:
    sent(
        "event\tvalue\nE\t12345678901234567.89\n",
        *("--delimiter", "tab", "--property", "value:number=value"),
    )
    assert b'"value":12345678901234567.89' in ingest.requests[0].raw


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"{bad", "the line is no JSON: "),
        (b"[1]", "the line is no JSON object, but a list"),
        (b'{"event": "\xff"}', "the line is no JSON: "),
        (b"{}", "an event name must be a non-empty string, not None (NoneType)"),
        (b'{"event": 7}', "an event name must be a non-empty string, not 7 (int)"),
        (b'{"event": "E", "user_id": 1.5}', "user_id must be a string, an int or a UUID, not 1.5"),
        (b'{"event": "E", "event_id": true}', "an event id must be a string, not True"),
        (b'{"event": "E", "event_id": " "}', "an event id must be a string, not ' '"),
        (b'{"event": "E", "timestamp": "soon"}', "the timestamp is no moment: 'soon'"),
        (b'{"event": "E", "timestamp": true}', "the timestamp is no moment: True"),
        (b'{"event": "E", "timestamp": 1e300}', "the timestamp is no moment: 1e+300"),
        (b'{"event": "E", "timestamp": "20260701"}', "the timestamp is no moment: '20260701'"),
        (b'{"event": "E", "properties": [1]}', "properties must be a JSON object, not [1]"),
        (b'{"event": "E", "properties": "x"}', "properties holds no json: 'x'"),
        (b'{"type": "identify"}', "user_id is required"),
        (b'{"type": "screen"}', "the type is none of track, identify, page, alias, group, "),
        (b'{"type": ["track"]}', "the type is none of track, identify, page, alias, group, "),
        (b'{"type": "purchase", "value": "much"}', "value holds no number: 'much'"),
        (b'{"type": "purchase", "value": "NaN"}', "value holds no number: 'NaN'"),
        (b'{"event": "' + b"x" * MAX_LINE + b'"}', "the line is longer than 1048576 bytes"),
    ],
)
def test_bad_json_lines(row: bytes, why: str, bad: Callable[..., list[str]]) -> None:
    good = b'{"event": "E"}\n'
    [told] = bad(good + row + b"\n" + good, "--format", "jsonl")
    assert told.startswith(f"line 2: {why}")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b"E", "values do not fit the header: 1 for 2"),
        (b"E,1,2", "values do not fit the header: 3 for 2"),
        (b"E,\xff", "the line is not UTF-8"),
        (b"E,many", "Count holds no number: 'many'"),
        (b"E," + b"1" * MAX_LINE, "the line is longer than 1048576 bytes"),
    ],
)
def test_bad_csv_lines(row: bytes, why: str, bad: Callable[..., list[str]]) -> None:
    told = bad(
        b"event,Count\nE,1\n\n" + row + b"\nE,2\n",
        *("--property", "count:number=Count"),
        name="data.csv",
    )
    assert told == [f"line 4: {why}"]


def test_a_quote_that_is_never_closed_spoils_no_more_than_it_must(
    bad: Callable[..., list[str]],
) -> None:
    lines = b'event,more\nE,"open\n' + b"E,x\n" * (MAX_LINE // 4) + b"E,x\n"
    told = bad(lines, name="data.csv")
    assert told[0] == "line 2: field larger than field limit (1048576)"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("data.jsonl.gz", b'{"event": "E"}\n'),
        ("data", b'{"event": "E"}\n'),
        ("data.csv.gz", b"event\nE\n"),
        ("data", b"event\nE\n"),
    ],
)
def test_gzip_whatever_the_name(name: str, text: bytes, sent: Callable[..., list[Any]]) -> None:
    [event] = sent(gzip.compress(text), name=name)
    assert event["event"] == "E"


def test_rows_without_an_id_get_one_that_depends_on_the_file(
    run: Run, tmp_path: Path, ingest: IngestServer
) -> None:
    row = '{"event": "E", "user_id": "u"}\n'
    names = (
        ("one.jsonl", row * 2),
        ("same.jsonl", row.replace("\n", "\r\n") * 2),
        ("other", row * 3),
    )
    found = []
    for name, text in names:
        (tmp_path / name).write_bytes(text.encode())
        ingest.accepted.clear()
        assert run(tmp_path / name).code == 0
        found.append({body["eventId"] for body in ingest.accepted})
    one, again, other = found
    assert one == again
    assert len(one) == 2
    assert one < other  # it only grew
    assert all(each.startswith("import_") for each in other)
