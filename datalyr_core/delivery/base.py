"""The seam between the sender and whatever carries an event away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from datalyr_core.errors import TransportError, shown


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold what the ingest answered.

    Attributes:
        status: The HTTP status.
        headers: The headers; names in any case.
        text: The beginning of the body, for messages.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


class Transport(Protocol):
    """Send one event. Called from several threads at once."""

    def send(self, body: bytes) -> Reply:
        """Send one body and return the answer.

        Raises:
            TransportError: No answer came.
        """


def checked(answer: Any) -> Reply | TransportError:
    """Return a transport's answer with every part of its type, or an error that says why not."""
    if isinstance(answer, TransportError):
        return answer
    if type(answer) is not Reply:
        return TransportError(f"the transport returned {shown(answer)}, not a Reply")
    status, headers, text = answer.status, answer.headers, answer.text
    whole = type(status) is int, isinstance(headers, Mapping), isinstance(text, str)
    if all(whole):
        return answer
    try:
        return Reply(int(status), dict(headers or {}), str(text or ""))
    except (TypeError, ValueError) as error:
        return TransportError(f"the transport's Reply is none: {error}")
