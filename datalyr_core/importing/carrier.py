"""The carrier: a transport that tells the ledger what the ingest says of each event."""

from __future__ import annotations

from typing import Any

import orjson

from datalyr_core.delivery.base import Between, Reply
from datalyr_core.errors import TransportError
from datalyr_core.importing.ledger import Ledger
from datalyr_core.retry import Outcome, outcome_of

# What is said of the key or of the place, not of an event: every other row would hear it too.
_KEY = (401, 403)
_PLACE = (301, 302, 303, 307, 308, 404, 405, 410)


class Carrier(Between):
    """Send through another transport."""

    def __init__(self, transport: Any, ledger: Ledger) -> None:
        """Stand before a transport."""
        super().__init__(transport)
        self._ledger = ledger

    def send(self, body: bytes) -> Reply:
        """Send one body, unless the ingest has said that it takes none.

        Raises:
            TransportError: As the transport does, and after that.
        """
        ledger = self._ledger
        if ledger.halted:
            raise TransportError("the import has stopped")
        try:
            reply: Reply = self._transport.send(body)
        except TransportError as error:
            ledger.fail(str(error))
            raise
        event_id = orjson.loads(body)["eventId"]
        outcome = outcome_of(reply.status)
        if outcome is Outcome.DELIVERED:
            ledger.deliver(event_id)
        elif outcome is Outcome.TRANSIENT:
            ledger.fail(f"HTTP {reply.status}")
        elif reply.status in _KEY:
            ledger.halt(f"the ingest refuses the API key (HTTP {reply.status}): check it")
        elif reply.status in _PLACE:
            ledger.halt(f"there is no ingest here (HTTP {reply.status}): check the host")
        else:
            ledger.refuse(event_id, f"HTTP {reply.status}: {reply.text[:200]!r}")
        return reply
