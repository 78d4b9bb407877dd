"""The publishing end of a connection: several events a message, each confirmed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from kombu import Producer

from datalyr_core.broker import message
from datalyr_core.broker.connection import connect, connection_to
from datalyr_core.broker.queues import open_channel

HEARTBEAT = 60.0  # seconds; nobody sends them: what is not used for that long is closed
LAST_WORDS = 0.5  # seconds that a broker has to take leave when a connection is closed


class Blocked(Exception):
    """Tell that a broker takes nothing more, since its memory or its disk is full."""


class Publisher:
    """Publish on a connection of its own. For one thread at a time."""

    def __init__(self, url: str, queue: str, timeout: float) -> None:
        """Connect, and make the queues that are not there.

        Args:
            url: The broker's URL.
            queue: The name of the queue of events.
            timeout: Seconds that it may take.

        Raises:
            Exception: It is not possible; whatever kombu or its driver raises.
        """
        give_up_at = time.monotonic() + timeout
        hosts = url.count(";") + 1  # each has its share
        self._queue = queue
        self._made: Any = None  # the connection of kombu's transport
        self._connection = connection_to(
            url, timeout=timeout / hosts, heartbeat=HEARTBEAT, on_blocked=_refuse
        )
        try:
            connect(self._connection)
            self._made = self._connection.connection
            self._bound(give_up_at - time.monotonic())
            channel = open_channel(self._connection, queue)
        except BaseException:
            self.close()
            raise
        self._producer = Producer(channel, auto_declare=False)

    def publish(self, bodies: Sequence[bytes], timeout: float) -> None:
        """Publish one message of some events, and wait until the broker has it.

        Args:
            bodies: The events' bodies.
            timeout: Seconds that it may take; on Redis each step may take those of the
                connection.

        Raises:
            Blocked: The broker has no room.
            Exception: Whatever kombu or its driver raises.
        """
        self.publish_to(self._queue, message.pack(bodies), message.headers(len(bodies)), timeout)

    def publish_to(
        self,
        queue: str,
        body: bytes,
        headers: Mapping[str, Any],
        timeout: float,
        content_type: str = message.CONTENT_TYPE,
    ) -> None:
        """Publish any message to any queue, as `publish` does.

        Args:
            queue: The name of the queue.
            body: The body.
            headers: The headers.
            timeout: Seconds that it may take.
            content_type: What the body is.
        """
        self._bound(timeout)
        self._producer.publish(
            body,
            exchange="",
            routing_key=queue,
            content_type=content_type,
            content_encoding=message.CONTENT_ENCODING,
            delivery_mode=message.PERSISTENT,
            headers=dict(headers),
            mandatory=True,  # RabbitMQ says so when there is no such queue
            timeout=timeout,
            confirm_timeout=timeout,
        )

    def close(self) -> None:
        """Close the connection, without waiting long for a broker that hangs."""
        # Of a connection that breaks at this very moment, a driver may raise anything.
        with suppress(Exception):
            self._bound(LAST_WORDS)
            self._connection.release()

    def _bound(self, timeout: float) -> None:
        """Bound each wait of AMQP that has no time-out of its own."""
        if socket := getattr(self._made, "sock", None):
            socket.settimeout(max(timeout, 0.01))


def _refuse(reason: str) -> None:
    raise Blocked(reason)
