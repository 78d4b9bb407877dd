"""A message: several events in one body, as newline-delimited JSON.

The bodies are those that the ingest will get, byte for byte. JSON holds no raw newline, so
that nothing is decoded or encoded on the way. The API key is in no message: a relay has its
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CONTENT_TYPE = "application/x-ndjson"
CONTENT_ENCODING = "binary"  # the body is bytes, for kombu to leave alone
PERSISTENT = 2  # AMQP's delivery mode of what is to survive a restart of the broker
FORMAT = 1

# A queue of SQS takes 262,144 bytes, unless it is a newer one, and kombu wraps a body in base64
# twice there, each time making four bytes of three.
MAX_BYTES = 145_000
MAX_EVENTS = 100

_FORMAT = "datalyr-format"
_EVENTS = "datalyr-events"


def pack(bodies: Sequence[bytes]) -> bytes:
    """Make a message's body of events' bodies."""
    return b"\n".join(bodies)


def unpack(body: bytes) -> list[bytes]:
    """Return the events' bodies of a message's body."""
    return [each for each in body.split(b"\n") if each]


def headers(count: int) -> dict[str, int]:
    """Return a message's headers.

    Args:
        count: How many events it holds.
    """
    return {_FORMAT: FORMAT, _EVENTS: count}


def is_known(given: Mapping[str, Any]) -> bool:
    """Tell by a message's headers whether it is one that `unpack` understands."""
    return given.get(_FORMAT) == FORMAT
