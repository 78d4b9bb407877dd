"""The intake: one connection on which messages are taken from the broker and settled.

For one thread alone: kombu's connections are no thread's but the one that uses them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kombu import Connection, Consumer

from datalyr_core.broker import message as wire
from datalyr_core.broker.connection import connect, connection_to, scheme_of
from datalyr_core.broker.publisher import Publisher
from datalyr_core.broker.queues import dead_queue, events_queue, open_channel
from datalyr_core.errors import without_credentials

HEARTBEAT = 20.0  # seconds between signs of life on AMQP
LAST_WORDS = 2.0  # seconds that a broker has to take leave when a connection is closed
CHORES = 2.0  # seconds between one look after the connection and the next
KEEP = 30.0  # seconds that an idle connection of what is published is kept
RESTORED = 1000  # messages of relays that are gone which are taken back at once


@dataclass(frozen=True, slots=True)
class Source:
    """Say where messages come from.

    Attributes:
        url: The broker's URL.
        queue: The name of the queue of events.
        prefetch: How many messages may be held at once.
        timeout: Seconds that each step on the network may take.
        visibility_timeout: Seconds after which Redis and SQS hand out again what is held.
    """

    url: str
    queue: str
    prefetch: int = 50
    timeout: float = 10.0
    visibility_timeout: float = 120.0


class Unpublished(Exception):
    """Tell that the broker does not take a message now."""


class Intake:
    """Take messages, one by one, and acknowledge or publish them."""

    def __init__(self, source: Source) -> None:
        """Describe the connection; nothing is connected yet."""
        self._source = source
        self._connection = _described(source)
        self._channel: Any = None
        self._consumer: Any = None
        self._publisher: Publisher | None = None
        self._published_at = 0.0
        self._next_chores = 0.0

    @property
    def address(self) -> str:
        """Return the broker's URL without its user and password."""
        return without_credentials(self._source.url)

    def open(self) -> None:
        """Connect, and see to it that the queues are there.

        Raises:
            Exception: What kombu and the broker's driver raise of a broker that is not there
                or refuses; so does everything below.
        """
        connect(self._connection)
        self._bound(self._source.timeout)
        self._channel = open_channel(self._connection, self._source.queue)

    def consume(self, take: Callable[[Any], Any], broken: Callable[[Any, Any], Any]) -> None:
        """Have messages handed out from here on.

        Args:
            take: Is called with each message.
            broken: Is called with a message that kombu cannot read, and the error.
        """
        self._consumer = Consumer(
            self._channel,
            queues=[events_queue(self._source.queue)],
            on_message=take,
            on_decode_error=broken,
            auto_declare=False,
            # To acknowledge one message is, on Kafka, to acknowledge all that were taken.
            prefetch_count=1 if self._is_kafka else self._source.prefetch,
        )
        self._consumer.consume()

    def cancel(self) -> None:
        """Have no more messages handed out."""
        self._consumer.cancel()

    def drain(self, seconds: float) -> bool:
        """Wait for a message and hand it out.

        Args:
            seconds: How long to wait at most.

        Returns:
            Whether something came.
        """
        self._do_chores()
        try:
            self._connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def fetch(self) -> Any:
        """Fetch a message from the dead letters; None if there is none."""
        return dead_queue(self._source.queue)(self._channel).get(no_ack=False)

    def count(self) -> int:
        """Return how many messages nobody has taken yet."""
        return self._count(self._source.queue)

    def count_dead(self) -> int:
        """Return how many dead letters there are."""
        return self._count(dead_queue(self._source.queue).name)

    def publish(
        self, queue: str, body: bytes, headers: Mapping[str, Any], content_type: str | None = None
    ) -> None:
        """Publish a message, and wait until the broker has it.

        It goes over a connection of its own: RabbitMQ does not read any more from one that
        publishes while memory or disk are full, not even the acknowledgements that would
        make room.

        Args:
            queue: The name of the queue.
            body: The body.
            headers: The headers.
            content_type: What the body is, if it is not events.

        Raises:
            Unpublished: The broker does not take it, and why.
        """
        timeout = self._source.timeout
        kind = content_type or wire.CONTENT_TYPE
        if time.monotonic() - self._published_at > KEEP:
            self._close_publisher()
        try:
            if self._publisher is None:
                self._publisher = Publisher(self._source.url, self._source.queue, timeout)
            self._publisher.publish_to(queue, body, headers, timeout, kind)
        except Exception as error:
            self._close_publisher()
            raise Unpublished(f"{type(error).__name__}: {error}") from error
        self._published_at = time.monotonic()

    def restore(self, tags: Iterable[str]) -> None:
        """Give back at once what was held on a connection that is lost.

        Other brokers than Redis do so by themselves.
        """
        for tag in tags if self._is_redis else ():
            self._channel.qos.restore_by_tag(tag)

    def close(self) -> None:
        """Close the connections; the broker takes back what is not acknowledged."""
        self._close_publisher()
        with suppress(Exception):  # it may be lost already
            self._bound(LAST_WORDS)
            self._connection.release()

    def _close_publisher(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None

    def _bound(self, timeout: float) -> None:
        """Bound each wait of AMQP that has no time-out of its own."""
        if socket := getattr(self._connection.connection, "sock", None):
            socket.settimeout(timeout)

    def _count(self, queue: str) -> int:
        # An empty queue is not there, to Redis.
        passive = not self._is_redis
        return int(self._channel.queue_declare(queue=queue, passive=passive).message_count)

    @property
    def _is_redis(self) -> bool:
        return str(self._connection.transport.driver_type) == "redis"

    @property
    def _is_kafka(self) -> bool:
        return str(self._connection.transport.driver_type) == "kafka"

    def _do_chores(self) -> None:
        now = time.monotonic()
        if now < self._next_chores:
            return
        self._next_chores = now + CHORES
        if self._connection.get_heartbeat_interval():
            self._connection.heartbeat_check()
        if self._is_redis:
            # kombu does so only where it finds nothing to do, and then rarely.
            self._channel.qos.restore_visible(num=RESTORED, interval=1)


@contextmanager
def opened(source: Source) -> Iterator[Intake]:
    """Connect for the length of a block."""
    intake = Intake(source)
    try:
        intake.open()
        yield intake
    finally:
        intake.close()


def body_of(message: Any) -> bytes:
    """Return a message's body as bytes."""
    body = message.body
    return body.encode("utf-8", "surrogateescape") if isinstance(body, str) else bytes(body or b"")


def headers_of(message: Any) -> dict[str, Any]:
    """Return a message's headers, none if they are no mapping."""
    return dict(message.headers) if isinstance(message.headers, Mapping) else {}


def _described(source: Source) -> Connection:
    scheme = scheme_of(source.url)
    if not scheme.startswith(("redis", "sentinel")):
        return connection_to(
            source.url,
            timeout=source.timeout,
            heartbeat=HEARTBEAT,
            visibility_timeout=source.visibility_timeout,
        )
    from datalyr_core.broker import redis_taking  # needs the driver

    prefix = f"{source.queue}.unacked"
    connection = connection_to(
        source.url,
        timeout=source.timeout,
        visibility_timeout=source.visibility_timeout,
        # Not kombu's own names: with them this visibility time-out would be that of the
        # tasks of a Celery which has the same database.
        unacked_key=prefix,
        unacked_index_key=f"{prefix}.index",
        unacked_mutex_key=f"{prefix}.mutex",
        unacked_mutex_expire=30,  # seconds that a relay which was killed at it delays others
        unacked_restore_limit=RESTORED,
        polling_interval=redis_taking.POLL,
    )
    sentinel = scheme.startswith("sentinel")
    connection.transport_cls = (
        redis_taking.TakingSentinelTransport if sentinel else redis_taking.TakingTransport
    )
    return connection
