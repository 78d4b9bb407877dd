"""The consumer: the one thread that talks to the broker.

It takes messages into the outbox, and acknowledges each when all of its events are delivered
or, as dead letters, with the broker. What is not delivered is never acknowledged: it goes back.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from datalyr_core.broker import dead_letters
from datalyr_core.broker import message as wire
from datalyr_core.broker.intake import Intake, Source, Unpublished, body_of, headers_of
from datalyr_core.broker.queues import DEAD
from datalyr_core.errors import without_credentials
from datalyr_core.outbox.broker import BrokerOutbox, Held
from datalyr_core.relay.counts import Counts
from datalyr_core.retry import MAX_BACKOFF, backoff

logger = logging.getLogger("datalyr.relay")

ACK_WITHIN = 0.02  # seconds that a message which is through waits for its acknowledgement
ROOM_AFTER = 5.0  # seconds after which a broker that takes nothing is asked again
IDLE = 0.25  # seconds between one look and the next while nothing is held


class Consumer:
    """Keep an outbox filled from a broker, in a daemon thread."""

    def __init__(self, source: Source, outbox: BrokerOutbox, came: Callable[[], Any]) -> None:
        """Bring the parts together.

        Args:
            source: Where messages come from.
            outbox: Takes them.
            came: Is called when there is something new in the outbox.
        """
        self.counts = Counts()
        self.connected = False
        self.trouble: str | None = None  # why it is not connected
        self.full: str | None = None  # why the broker takes nothing that is published
        self.paused = threading.Event()  # set when nothing more is taken
        self._source = source
        self._outbox = outbox
        self._came = came
        self._connected_at = 0.0
        self._pausing = False
        self._ending = False
        self._woken = threading.Event()  # from the wait for the next try to connect
        self._unpublished: dict[Held, None] = {}  # what of them the broker does not take yet
        self._publish_at = 0.0
        self._tags: dict[Any, float] = {}  # of what is not acknowledged, and when it came
        self._thread = threading.Thread(target=self._run, name="datalyr-relay", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def pause(self) -> None:
        """Take no more messages from here on; `paused` says when that is so."""
        self._pausing = True
        self._woken.set()

    def end(self) -> None:
        """Settle what is through, put back what is not, and end."""
        self._ending = True
        self._woken.set()

    @property
    def alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    @property
    def messages(self) -> int:
        """Return how many messages are held."""
        return self._outbox.messages + len(self._unpublished)

    def _run(self) -> None:
        failures = 0
        while not (self._ending or (self._pausing and not self._outbox.messages)):
            intake = Intake(self._source)
            try:
                self._serve(intake)
            except Exception as error:  # of kombu, of its drivers, of sockets
                # A broker that refuses as soon as it is asked is not asked all the time.
                failures = 1 if self._connected_for() > MAX_BACKOFF else failures + 1
                self._lose(error)
            finally:
                intake.close()
            if not self._pausing:
                self._woken.wait(backoff(failures, random.random()) if failures else 0.0)  # noqa: S311 - jitter, not a secret
        self.paused.set()

    def _serve(self, intake: Intake) -> None:
        """Take messages until the end."""
        intake.open()
        # Of connections before this one; what came longer ago may be another relay's by now.
        oldest = time.monotonic() - self._source.visibility_timeout
        intake.restore([tag for tag, came in self._tags.items() if came > oldest])
        self._tags.clear()
        intake.consume(self._take, self._take_broken)
        self._say_that_it_is_there(intake)
        while not self._ending:
            if self._pausing and not self.paused.is_set():
                intake.cancel()
                self.paused.set()
            intake.drain(ACK_WITHIN if self._outbox.messages else IDLE)
            self._settle(intake)
        self._settle(intake)
        for held in self._outbox.release():
            if held.touched:  # others are where they were as soon as the connection is closed
                self._finish(intake, held)
        self.connected = False

    def _connected_for(self) -> float:
        return time.monotonic() - self._connected_at if self.connected else 0.0

    def _say_that_it_is_there(self, intake: Intake) -> None:
        again = "again " if self.trouble else ""
        self.connected, self.trouble = True, None
        self._connected_at = time.monotonic()
        logger.info("connected %sto %s, queue %s", again, intake.address, self._source.queue)

    def _lose(self, error: Exception) -> None:
        """Forget all that was held: acknowledged on another connection it would be an error."""
        self._outbox.forget()
        self._unpublished.clear()
        self._publish_at = 0.0
        told = without_credentials(f"{type(error).__name__}: {error}")
        if self.trouble is None:
            logger.warning("the broker is not there (%s); trying again", told)
        self.connected, self.trouble = False, told
        if self._pausing:
            self.paused.set()

    # Taking

    def _take(self, message: Any) -> None:
        self.counts.messages += 1
        self._tags[message.delivery_tag] = time.monotonic()
        headers = headers_of(message)
        body = body_of(message)
        if problem := _problem(headers, body):
            self._take_broken(message, problem)
            return
        bodies = wire.unpack(body)
        self.counts.received += len(bodies)
        self._outbox.take(message, bodies)
        self._came()

    def _take_broken(self, message: Any, problem: object) -> None:
        """Keep a message that cannot be read, for the dead letters."""
        self._tags[message.delivery_tag] = time.monotonic()
        self._outbox.take(_Broken(message, str(problem)), [])

    # Settling

    def _settle(self, intake: Intake) -> None:
        for waiting in list(self._unpublished):
            self._finish(intake, waiting)
        while held := self._outbox.through():
            self._finish(intake, held)
        for late in self._outbox.overdue(self._source.visibility_timeout / 2):
            self._finish(intake, late)

    def _finish(self, intake: Intake, held: Held) -> None:
        """Acknowledge a message once the broker has what of it was not delivered."""
        if not self._is_published(intake, held):
            self._unpublished[held] = None
            return
        message = _message_of(held)
        message.ack()
        self._unpublished.pop(held, None)
        self._tags.pop(message.delivery_tag, None)

    def _is_published(self, intake: Intake, held: Held) -> bool:
        """Publish what of a message was not delivered; False if that is to be tried later."""
        if not (held.refused or held.left or isinstance(held.message, _Broken)):
            return True
        if time.monotonic() < self._publish_at:
            return False
        try:
            self._bury(intake, held)
            if held.left:
                self._put_back(intake, held)
        except Unpublished as error:
            if time.monotonic() - held.since > self._source.visibility_timeout * 0.75:
                raise  # before the broker hands it to others, it is to come again
            self._publish_at = time.monotonic() + ROOM_AFTER
            self._say_that_it_is_full(error)
            return False
        self.full = None
        return True

    def _say_that_it_is_full(self, error: Unpublished) -> None:
        told = without_credentials(str(error))
        if self.full is None:
            logger.warning("the broker takes nothing (%s); dead letters wait", told)
        self.full = told

    def _put_back(self, intake: Intake, held: Held) -> None:
        """Put what is left of a message at the end of the queue.

        Requeued, it would be the next that comes, and what of it is delivered would come too.
        """
        bodies = held.bodies
        intake.publish(self._source.queue, wire.pack(bodies), wire.headers(len(bodies)))
        self.counts.returned += 1

    def _bury(self, intake: Intake, held: Held) -> None:
        """Publish what of a message is for the dead letters."""
        message, queue = held.message, self._source.queue + DEAD
        if isinstance(message, _Broken):
            of = message.message
            headers = dead_letters.dead_headers(
                headers_of(of), None, f"cannot be read: {message.problem}", time.time()
            )
            intake.publish(queue, body_of(of), headers, of.content_type)
            self.counts.dead += 1
            logger.warning(
                "a message cannot be read (%s); it is a dead letter now", message.problem
            )
        while held.refused:
            refusal = held.refused[0]
            headers = dead_letters.dead_headers(
                wire.headers(1), refusal.status, refusal.reason, refusal.at
            )
            intake.publish(queue, wire.pack([refusal.body]), headers)
            del held.refused[0]  # not once more, should the next one fail
            self.counts.dead += 1


class _Broken:
    """Be a message that cannot be read."""

    def __init__(self, message: Any, problem: str) -> None:
        self.message = message
        self.problem = problem


def _message_of(held: Held) -> Any:
    return held.message.message if isinstance(held.message, _Broken) else held.message


def _problem(headers: Mapping[str, Any], body: bytes) -> str | None:
    """Say why a message cannot be read; None if it can be."""
    if not wire.is_known(headers):
        return "its format is unknown"
    bodies = wire.unpack(body)
    if not bodies or len(bodies) != headers.get("datalyr-events", len(bodies)):
        return f"it holds {len(bodies)} events and not as many as it says"
    for each in bodies:
        try:
            event = orjson.loads(each)
        except ValueError as error:
            return f"an event is no JSON: {error}"
        if not (isinstance(event, dict) and event.keys() >= _NEEDED):
            return "an event lacks what it needs"
    return None


_NEEDED = {"event", "anonymousId", "eventId", "properties", "context", "timestamp"}
