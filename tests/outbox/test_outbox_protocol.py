"""Every outbox keeps the protocol, in whatever order things happen to it."""

from __future__ import annotations

from datalyr_core.outbox.memory import MemoryOutbox
from tests.outbox.protocol import LIMIT, SETTINGS, Protocol


class MemoryProtocol(Protocol):
    """The outbox in memory."""

    def make(self) -> MemoryOutbox:
        return MemoryOutbox(LIMIT)


TestMemory = MemoryProtocol.TestCase
TestMemory.settings = SETTINGS
