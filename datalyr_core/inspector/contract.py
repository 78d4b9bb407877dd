"""Read one request to the ingest as the wire contract says it must look.

Pure, and independent of the client that wrote the request: headers and bytes in, a `Reading` out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .calls import call_violations, is_text
from .wire_json import BodyError, parse, show

MAX_BODY = 1024 * 1024
MAX_EVENT_ID = 256
LIBRARY = "datalyr-python"
REQUIRED = ("event", "anonymousId", "eventId", "properties", "context", "timestamp")
CONTEXT = ("library", "version", "source", "schema_version")

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_USER_AGENT = re.compile(rf"{LIBRARY}/(\S+)")


@dataclass(frozen=True, slots=True)
class Reading:
    """What one request said.

    Attributes:
        status: The answer that it earns.
        event: Its body, or None when that cannot be read as an object.
        violations: One sentence for each breach of the contract.
        key: The API key, masked.
    """

    status: int
    event: dict[str, Any] | None
    violations: tuple[str, ...]
    key: str


def read(headers: Mapping[str, str], body: bytes) -> Reading:
    """Read a request.

    Args:
        headers: Its headers; the case of a name does not matter.
        body: Its body.

    Returns:
        The reading. Nothing raises, whatever the bytes are.
    """
    named = {name.lower(): value for name, value in headers.items()}
    violations = list(_header_violations(named))
    event = None
    try:
        event, remarks = _read_object(body)
    except BodyError as error:
        remarks = [f"body: {error}"]
    else:
        remarks.extend(_body_violations(event, _agent_version(named)))
    key = named.get("x-api-key", "")
    return Reading(_status(key, event), event, (*violations, *remarks), mask(key))


def too_large(headers: Mapping[str, str]) -> Reading:
    """Refuse a request whose body was not even kept.

    Args:
        headers: Its headers.

    Returns:
        A reading that answers 413.
    """
    named = {name.lower(): value for name, value in headers.items()}
    violation = f"body: more than {MAX_BODY} bytes"
    return Reading(413, None, (violation,), mask(named.get("x-api-key", "")))


def mask(key: str) -> str:
    """Make an API key recognisable without showing it.

    Args:
        key: The key as it was sent.

    Returns:
        Its prefix and last two characters, less for one that these would give away.
    """
    if not key.startswith("dk_"):
        return "missing" if not key else "not a dk_ key"
    return f"dk_…{key[-2:]}" if len(key) >= 8 else "dk_…"


def _status(key: str, event: object) -> int:
    if not key:
        return 401
    return 400 if event is None else 200


def _read_object(body: bytes) -> tuple[dict[str, Any], list[str]]:
    document, remarks = parse(body)
    if not isinstance(document, dict):
        raise BodyError(f"it must be a JSON object, not {show(document)}")
    return document, remarks


def _agent_version(named: Mapping[str, str]) -> str | None:
    found = _USER_AGENT.fullmatch(named.get("user-agent", ""))
    return found[1] if found else None


def _header_violations(named: Mapping[str, str]) -> Iterator[str]:
    key = named.get("x-api-key", "")
    if not key:
        yield "X-API-Key: it is missing"
    elif not key.startswith("dk_"):
        yield "X-API-Key: it does not start with dk_"
    if (content_type := named.get("content-type")) != "application/json":
        yield f"Content-Type: it must be application/json, not {show(content_type)}"
    if _agent_version(named) is None:
        agent = show(named.get("user-agent"))
        yield f"User-Agent: it must be {LIBRARY}/<version>, not {agent}"


def _body_violations(body: Mapping[str, Any], agent_version: str | None) -> Iterator[str]:
    yield from (f"{key}: it is missing" for key in REQUIRED if key not in body)
    for key in sorted(body.keys() - {*REQUIRED, "userId"}):
        yield f"{show(key)}: no such key belongs at the top"
    yield from _field_violations(body)
    if "context" in body:
        yield from _context_violations(body["context"], agent_version)
    if isinstance(body.get("properties"), dict):
        yield from _mirror_violations(body)
        yield from call_violations(body)


def _field_violations(body: Mapping[str, Any]) -> Iterator[str]:
    for key in ("event", "anonymousId", "userId"):
        if key in body and not is_text(body[key]):
            yield f"{key}: it must be a non-empty string, not {show(body[key])}"
    if "eventId" in body and not _is_event_id(body["eventId"]):
        allowed = f"1 to {MAX_EVENT_ID} characters, not all blank"
        yield f"eventId: it must be {allowed}, not {show(body['eventId'])}"
    if "properties" in body and not isinstance(body["properties"], dict):
        yield f"properties: they must be an object, not {show(body['properties'])}"
    if "timestamp" in body and not _is_timestamp(body["timestamp"]):
        form = "YYYY-MM-DDTHH:MM:SS.mmmZ"
        yield f"timestamp: it must be {form}, not {show(body['timestamp'])}"


def _mirror_violations(body: Mapping[str, Any]) -> Iterator[str]:
    anonymous_id, properties = body.get("anonymousId"), body["properties"]
    if "anonymous_id" not in properties:
        yield "properties.anonymous_id: it is missing"
    elif is_text(anonymous_id) and properties["anonymous_id"] != anonymous_id:
        mirrored = show(properties["anonymous_id"])
        yield f"properties.anonymous_id: it must be the same as anonymousId, not {mirrored}"


def _context_violations(context: object, agent_version: str | None) -> Iterator[str]:
    if not isinstance(context, dict):
        yield f"context: it must be an object, not {show(context)}"
        return
    yield from (f"context.{key}: it is missing" for key in CONTEXT if key not in context)
    for key in sorted(context.keys() - set(CONTEXT)):
        yield f"context: the key {show(key)} does not belong there"
    for key, expected in (("library", LIBRARY), ("source", "api"), ("schema_version", 1)):
        # 1.0 and true equal 1 in Python, and neither is what the contract says.
        given = context.get(key, expected)
        if given != expected or type(given) is not type(expected):
            yield f"context.{key}: it must be {show(expected)}, not {show(given)}"
    if "version" in context:
        yield from _version_violations(context["version"], agent_version)


def _version_violations(version: object, agent_version: str | None) -> Iterator[str]:
    if not is_text(version):
        yield f"context.version: it must be a non-empty string, not {show(version)}"
    elif agent_version is not None and version != agent_version:
        yield f"context.version: User-Agent says {show(agent_version)}, this {show(version)}"


def _is_event_id(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value) <= MAX_EVENT_ID


def _is_timestamp(value: object) -> bool:
    if not isinstance(value, str) or not _TIMESTAMP.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
