"""The seam between the sender and whatever carries an event away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


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
