"""The state of one inspector, and the verbs that change it and wake whoever watches."""

from __future__ import annotations

import logging
from typing import Any

from .bell import Bell
from .contract import Reading
from .faults import Fault, Faults
from .store import Entry, Store

logger = logging.getLogger("datalyr.inspector")


class Inspection:
    """What the ingest, the API and the page share.

    Args:
        store: Where entries are kept.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.faults = Faults()
        self.bell = Bell()

    def begin(self) -> Fault | None:
        """Count a request.

        Returns:
            The fault that it is to meet, if any.
        """
        self.store.counts.requests += 1
        return self.faults.take()

    def accept(self, reading: Reading) -> Entry:
        """Keep an event.

        Args:
            reading: A reading that has an event.

        Returns:
            Its entry.
        """
        return self._announce(self.store.add_event(reading))

    def note_attempt(self, reading: Reading, answer: str, *, fault: bool = False) -> None:
        """Keep the trace of a request that is not accepted.

        Args:
            reading: What the request said.
            answer: What it is answered, in words.
            fault: Whether that is a fault and not its own mistake.
        """
        self._announce(self.store.add_attempt(reading, answer, fault=fault))

    def set_fault(self, fault: Fault | None) -> None:
        """Set the fault that the next requests meet.

        Args:
            fault: The fault, or None to answer as each request deserves.
        """
        self.faults.current = fault
        logger.info("fault: %s", fault.label if fault else "off")
        self.bell.ring()

    def clear(self) -> None:
        """Forget all entries, counts and event ids; a fault stays."""
        self.store.clear()
        self.bell.ring()

    def state(self) -> dict[str, Any]:
        """Write counts and the current fault as JSON."""
        return {**self.store.counters(), "faults": self.faults.as_json()}

    def _announce(self, entry: Entry) -> Entry:
        logger.info("%s %d, violations: %s", entry.kind, entry.seq, entry.view["violations"])
        self.bell.ring()
        return entry
