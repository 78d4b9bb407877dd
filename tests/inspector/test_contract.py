from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalyr_core.inspector.contract import MAX_BODY, Reading, mask, read, too_large
from datalyr_core.inspector.wire_json import encode

from .wire import HEADERS, KEY, body, context, encoded, without


def violations(document: object) -> tuple[str, ...]:
    return read(HEADERS, encoded(document)).violations


def alias(**properties: Any) -> dict[str, Any]:
    four = {"new_user_id": "u2", "previous_id": "u1", "userId": "u2", "previousId": "u1"}
    return body("$alias", userId="u2", properties={**four, **properties})


@pytest.mark.parametrize(
    "document",
    [
        body(),
        body(userId="user_1"),
        body(event="   "),
        body(eventId="e" * 256),
        body(timestamp="1970-01-01T00:00:00.000Z"),
        body(properties={"deep": [{"a": [1, None, True, 1e21, 9007199254740993]}], "ü": "😀"}),
        body("$identify", userId="user_1", properties={"email": "jane@example.com"}),
        body("$pageview"),
        body("$pageview", properties={"name": "Home", "url": "Home"}),
        body("$pageview", properties={"name": None}),
        alias(),
        body("$group", properties={"groupId": 7}),
        body("purchase", properties={"value": 0, "currency": "EUR"}),
        body("purchase", properties={"value": 9.99, "currency": "USD"}),
    ],
)
def test_what_the_contract_allows_has_no_violation(document: dict[str, Any]) -> None:
    assert read(HEADERS, encoded(document)) == Reading(200, document, (), "dk_…42")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        *((without(body(), key), f"{key}: it is missing") for key in body()),
        (body(extra=1), '"extra": no such key belongs at the top'),
        (body(event=""), 'event: it must be a non-empty string, not ""'),
        ({**body(), "event": 42}, "event: it must be a non-empty string, not 42"),
        (body(userId=None), "userId: it must be a non-empty string, not null"),
        (body(userId=""), 'userId: it must be a non-empty string, not ""'),
        (body(anonymousId=[]), "anonymousId: it must be a non-empty string, not []"),
        (body(eventId=""), 'eventId: it must be 1 to 256 characters, not all blank, not ""'),
        (body(eventId="  "), 'eventId: it must be 1 to 256 characters, not all blank, not "  "'),
        (body(eventId=7), "eventId: it must be 1 to 256 characters, not all blank, not 7"),
        ({**body(), "properties": []}, "properties: they must be an object, not []"),
        ({**body(), "properties": {}}, "properties.anonymous_id: it is missing"),
        (
            body(properties={"anonymous_id": "anon_2"}),
            'properties.anonymous_id: it must be the same as anonymousId, not "anon_2"',
        ),
        (body(context="x"), 'context: it must be an object, not "x"'),
        *(
            (body(context=without(context(), key)), f"context.{key}: it is missing")
            for key in context()
        ),
        (body(context=context(ip="::1")), 'context: the key "ip" does not belong there'),
        (
            body(context=context(library="js")),
            'context.library: it must be "datalyr-python", not "js"',
        ),
        (body(context=context(source="web")), 'context.source: it must be "api", not "web"'),
        (body(context=context(schema_version=2)), "context.schema_version: it must be 1, not 2"),
        (
            body(context=context(schema_version=True)),
            "context.schema_version: it must be 1, not true",
        ),
        (
            body(context=context(schema_version=1.0)),
            "context.schema_version: it must be 1, not 1.0",
        ),
        (
            body(context=context(version="9")),
            'context.version: User-Agent says "0.1.0", this "9"',
        ),
        (
            body(context=context(version=None)),
            "context.version: it must be a non-empty string, not null",
        ),
    ],
)
def test_an_envelope_that_breaks_one_rule(document: dict[str, Any], expected: str) -> None:
    assert violations(document) == (expected,)


def test_an_event_id_that_is_too_long_is_cut_in_the_message() -> None:
    (violation,) = violations(body(eventId="e" * 257))
    assert violation.startswith('eventId: it must be 1 to 256 characters, not all blank, not "eee')
    assert len(violation) < 160


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-07-01T12:34:56Z",
        "2026-07-01T12:34:56.0000Z",
        "2026-07-01T12:34:56.000+00:00",
        "2026-07-01 12:34:56.000Z",
        "2026-07-01t12:34:56.000z",
        "2026-02-30T12:34:56.000Z",
        "2026-07-01T25:34:56.000Z",
        "٢026-07-01T12:34:56.000Z",
        "2026-07-01T12:34:56.000Z\n",
        1751373296,
        None,
    ],
)
def test_a_timestamp_has_one_form(timestamp: object) -> None:
    shown = json.dumps(timestamp, ensure_ascii=False)
    expected = f"timestamp: it must be YYYY-MM-DDTHH:MM:SS.mmmZ, not {shown}"
    assert violations(body(timestamp=timestamp)) == (expected,)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (body("$identify"), ("$identify: it names no userId",)),
        (
            body("$pageview", properties={"name": "Home"}),
            ("$pageview: there is a name, so properties.url must be there too",),
        ),
        (
            body("$pageview", properties={"name": "Home", "url": None}),
            ("$pageview: there is a name, so properties.url must be there too",),
        ),
        (
            without(alias(), "userId"),
            (
                "$alias: it names no userId",
                "$alias: properties.new_user_id, properties.userId and userId must be the same",
            ),
        ),
        (
            alias(new_user_id="u3"),
            ("$alias: properties.new_user_id, properties.userId and userId must be the same",),
        ),
        (
            alias(previous_id="u0"),
            ("$alias: properties.previous_id and properties.previousId must be the same",),
        ),
        (
            alias(previous_id="", previousId=""),
            (
                "$alias: properties.previous_id must be a non-empty string",
                "$alias: properties.previousId must be a non-empty string",
            ),
        ),
        (body("$group"), ("$group: properties.groupId is missing",)),
        (body("$group", properties={"groupId": ""}), ("$group: properties.groupId is missing",)),
        (
            body("purchase"),
            (
                "purchase: properties.value must be a number, not null",
                "purchase: properties.currency must be in upper case, not null",
            ),
        ),
        (
            body("purchase", properties={"value": True, "currency": "EUR"}),
            ("purchase: properties.value must be a number, not true",),
        ),
        (
            body("purchase", properties={"value": "1", "currency": "EUR"}),
            ('purchase: properties.value must be a number, not "1"',),
        ),
        (
            body("purchase", properties={"value": 1, "currency": "Eur"}),
            ('purchase: properties.currency must be in upper case, not "Eur"',),
        ),
        (
            body("purchase", properties={"value": 1, "currency": " "}),
            ('purchase: properties.currency must be in upper case, not " "',),
        ),
    ],
)
def test_a_call_that_breaks_its_own_rule(
    document: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert violations(document) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"X-API-Key": "sk_live_1234"},
            ("X-API-Key: it does not start with dk_",),
        ),
        (
            {"Content-Type": "text/plain"},
            ('Content-Type: it must be application/json, not "text/plain"',),
        ),
        (
            {"User-Agent": "python-httpx/0.28"},
            ('User-Agent: it must be datalyr-python/<version>, not "python-httpx/0.28"',),
        ),
        (
            {"User-Agent": "datalyr-python/ "},
            ('User-Agent: it must be datalyr-python/<version>, not "datalyr-python/ "',),
        ),
    ],
)
def test_a_header_that_breaks_a_rule(headers: dict[str, str], expected: tuple[str, ...]) -> None:
    reading = read({**HEADERS, **headers}, encoded(body()))
    assert (reading.status, reading.violations) == (200, expected)


def test_a_missing_key_is_not_let_in_but_its_event_is_read() -> None:
    reading = read(without(HEADERS, "X-API-Key"), encoded(body()))
    assert reading == Reading(401, body(), ("X-API-Key: it is missing",), "missing")


def test_missing_headers_are_named() -> None:
    assert read({}, encoded(body())).violations == (
        "X-API-Key: it is missing",
        "Content-Type: it must be application/json, not null",
        "User-Agent: it must be datalyr-python/<version>, not null",
    )


def test_header_names_have_no_case() -> None:
    shouted = {name.upper(): value for name, value in HEADERS.items()}
    assert read(shouted, encoded(body())).violations == ()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "body: Expecting value"),
        (b"{", "body: Expecting property name"),
        (b"\xff{}", "body: 'utf-8' codec"),
        (b"\xef\xbb\xbf{}", "body: Unexpected UTF-8 BOM"),
        (b'{"a": NaN}', "body: NaN is not JSON"),
        (b'{"a": -Infinity}', "body: -Infinity is not JSON"),
        (b'{"a": 1e999}', "body: 1e999 is beyond a double"),
        (b'{"a": ' + b"9" * 5000 + b"}", "body: Exceeds the limit"),
        (b"[" * 101 + b"]" * 101, "body: nested deeper than 100 levels"),
        (b"[" * 100_000, "body: "),
        (b"[1]", "body: it must be a JSON object, not [1]"),
        (b'"text"', 'body: it must be a JSON object, not "text"'),
    ],
)
def test_a_body_that_is_no_object_is_refused(raw: bytes, message: str) -> None:
    reading = read(HEADERS, raw)
    assert (reading.status, reading.event) == (400, None)
    (violation,) = reading.violations
    assert violation.startswith(message)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"event": "a", "event": "b"}', 'body: the key "event" is there twice'),
        (b'{"properties": {"a": 1, "a": 1}}', 'body: the key "a" is there twice'),
        (b'{"properties": {"a": "\\ud800"}}', "body: a lone surrogate is not a character"),
        (b'{"properties": {"\\udfff": 1}}', "body: a lone surrogate is not a character"),
        (b'{"properties": 18446744073709551616}', "body: an integer is beyond 64 bits"),
        (b'{"properties": -9223372036854775809}', "body: an integer is beyond 64 bits"),
    ],
)
def test_json_that_can_be_read_but_should_not_be_written(raw: bytes, expected: str) -> None:
    reading = read(HEADERS, raw)
    assert reading.status == 200
    assert reading.violations[0] == expected


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63)])
def test_what_64_bits_hold_is_fine(number: int) -> None:
    assert violations(body(properties={"number": number})) == ()


def test_a_body_that_was_not_kept() -> None:
    expected = Reading(413, None, (f"body: more than {MAX_BODY} bytes",), "dk_…42")
    assert too_large(HEADERS) == expected


@pytest.mark.parametrize(
    ("key", "masked"),
    [
        ("", "missing"),
        ("sk_live_12345678", "not a dk_ key"),
        ("dk_", "dk_…"),
        ("dk_abcd", "dk_…"),
        ("dk_abcde", "dk_…de"),
        (KEY, "dk_…42"),
    ],
)
def test_a_key_is_masked(key: str, masked: str) -> None:
    assert mask(key) == masked


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.binary())
def test_no_bytes_raise(raw: bytes) -> None:
    assert read(HEADERS, raw).status in (200, 400)


@given(st.dictionaries(st.text(), st.text()), st.binary())
def test_no_headers_raise(headers: dict[str, str], raw: bytes) -> None:
    assert read(headers, raw).status in (200, 400, 401)


@given(st.data())
def test_no_value_in_any_place_raises_and_every_reading_can_be_shown(data: st.DataObject) -> None:
    names = ("$identify", "$pageview", "$alias", "$group", "purchase", "other")
    document = body(data.draw(st.sampled_from(names)))
    for key in data.draw(st.sets(st.sampled_from([*document, "userId"]))):
        document[key] = data.draw(json_values)
    if isinstance(document["properties"], dict):
        keys = st.sampled_from(("name", "url", "groupId", "value", "currency", "userId"))
        document["properties"].update(data.draw(st.dictionaries(keys, json_values)))
    reading = read(HEADERS, encoded(document))
    assert encode({"event": reading.event, "violations": reading.violations})


@given(json_values)
def test_what_is_shown_is_what_came(document: Any) -> None:
    given_properties = {"value": document}
    reading = read(HEADERS, encoded(body(properties=given_properties)))
    if reading.event is not None:
        assert json.loads(encode(reading.event)) == body(properties=given_properties)
