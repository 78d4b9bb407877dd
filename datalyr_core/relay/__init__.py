"""The relay: from a broker to the ingest. It brings the parts of core together, as the client does.

    BrokerOutbox ─ Sender ─ HTTP ─► ingest

A message is acknowledged when the ingest has taken its events. What the ingest will never take
becomes a dead letter first; what it does not take now goes back to the broker.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from datalyr_core.broker.intake import Source
from datalyr_core.config import Config
from datalyr_core.delivery.choice import transport_of
from datalyr_core.event import DropReason, Event
from datalyr_core.hooks import Hooks
from datalyr_core.outbox.broker import BrokerOutbox
from datalyr_core.relay.consumer import Consumer
from datalyr_core.relay.counts import CountingTransport
from datalyr_core.sender import Sender

logger = logging.getLogger("datalyr.relay")

TICK = 0.1  # seconds between one look at what interrupts and the next
LAST_WORDS = 5.0  # seconds that the broker has for what is put back at the end


class Relay:
    """Deliver what is in a broker's queue, in threads of its own."""

    def __init__(self, config: Config, source: Source) -> None:
        """Make a relay; nothing is started or connected yet.

        Args:
            config: How to reach the ingest.
            source: Where messages come from.

        Raises:
            ConfigurationError: The transport cannot be made.
        """
        # To the ingest itself. What has come is due at once; the interval is what remains
        # between one look at an ingest that fails and the next.
        self._config = replace(config, broker=None, flush_at=1, flush_interval=1.0)
        transport, close_transport = transport_of(self._config)
        self._transport = CountingTransport(transport)
        self._outbox = BrokerOutbox()
        self._sender = Sender(
            self._config, self._outbox, self._transport, _Refusals(self._config), close_transport
        )
        self._consumer = Consumer(source, self._outbox, self._sender.take_up)
        self._begun = time.monotonic()

    def start(self) -> None:
        """Begin."""
        self._consumer.start()

    def run(self, interruptions: Callable[[], int]) -> bool:
        """Relay until an interruption, finish what is on its way, and put back the rest.

        Args:
            interruptions: Tells how many there were; the second ends at once.

        Returns:
            Whether it ended in good order.
        """
        self.start()
        while not interruptions() and self._consumer.alive:
            time.sleep(TICK)
        told = interruptions() > 0
        return self.stop(lambda: interruptions() > 1) and told

    def stop(self, impatient: Callable[[], bool] = lambda: False) -> bool:
        """Take nothing more, finish what is on its way within `close_timeout`, put back the rest.

        Args:
            impatient: Says when to wait no longer.

        Returns:
            Whether everything was finished or put back.
        """
        deadline = time.monotonic() + self._config.close_timeout
        logger.info("stopping: %d events are on their way", self._transport.answers.in_flight)
        self._consumer.pause()
        self._wait(self._consumer.paused.is_set, deadline, impatient)
        self._outbox.close()
        self._wait(lambda: not len(self._outbox), deadline, impatient)
        self._sender.stop(time.monotonic())
        self._consumer.end()
        good = self._wait(lambda: not self._consumer.alive, deadline + LAST_WORDS, impatient)
        if good:
            logger.info("stopped: %d events were delivered", self._sender.delivered)
        return good

    def status(self) -> dict[str, Any]:
        """Return what it does and did, for JSON."""
        answers, counts = self._transport.answers, self._consumer.counts
        now = time.monotonic()
        last = answers.last_delivery
        return {
            "connected": self._consumer.connected,
            "gate": "closed" if self._sender.in_trouble else "open",
            "uptime": round(now - self._begun, 1),
            "messages": counts.messages,
            "received": counts.received,
            "delivered": self._sender.delivered,
            "retried": self._sender.retried,
            "dead": counts.dead,
            "returned": counts.returned,
            "known": self._outbox.known,
            "held_messages": self._consumer.messages,
            "waiting": self._outbox.waiting,
            "in_flight": answers.in_flight,
            "by_status": dict(answers.by_status),
            "seconds_since_delivery": None if last is None else round(now - last, 1),
        }

    def problems(self) -> list[str]:
        """Return why it is not well; nothing if it is."""
        answers = self._transport.answers
        problems = []
        if not self._consumer.connected:
            problems.append(f"the broker is not there: {self._consumer.trouble or 'connecting'}")
        elif self._consumer.full:
            problems.append(f"the broker takes nothing: {self._consumer.full}")
        if self._sender.in_trouble:
            last = "no answer" if answers.last is None else f"HTTP {answers.last}"
            problems.append(f"the ingest fails: {last}")
        if answers.last in (401, 403):
            problems.append(f"the ingest refuses the API key: HTTP {answers.last}")
        return problems

    def _wait(
        self, done: Callable[[], bool], deadline: float, impatient: Callable[[], bool]
    ) -> bool:
        while not done():
            if impatient() or time.monotonic() >= deadline:
                return False
            time.sleep(TICK / 10)
        return True


class _Refusals(Hooks):
    """Say of events that the ingest refuses what becomes of them: they are not dropped."""

    of_refused = "events become dead letters; `datalyr relay --redrive` puts them back"

    def drop(
        self,
        events: Iterable[Event],
        reason: DropReason,
        why: str,
        *,
        kind: str | None = None,
        count: int = 1,
    ) -> None:
        """Say once of a kind of refusal that such events are dead letters."""
        self.warn_once(
            f"the ingest refuses an event, which is a dead letter now: {why}", kind=kind or why
        )
