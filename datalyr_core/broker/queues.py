"""The queues: one of events, and one beside it of what could not be understood or delivered.

Both are addressed through the default exchange, by their names. An exchange of our own would
need a binding, and on Redis that is a key which a flush or a restart takes away: a message
that is routed by it is then lost without an error, and so is one that is to be redelivered.
"""

from __future__ import annotations

from typing import Any

from amqp import AccessRefused, PreconditionFailed
from kombu import Connection, Queue

DEAD = ".dead"


def events_queue(name: str) -> Queue:
    """Describe the queue of events; what is rejected there goes to the dead letters.

    Args:
        name: Its name, the option `broker_queue`.
    """
    rejected = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": name + DEAD}
    return Queue(name, durable=True, queue_arguments=rejected)


def dead_queue(name: str) -> Queue:
    """Describe the queue of the dead letters of a queue of events.

    Brokers other than RabbitMQ do not fill it by themselves: publish to it, then acknowledge.
    """
    return Queue(name + DEAD, durable=True)


def declare(channel: Any, name: str) -> None:
    """Make both queues, unless they are there.

    Args:
        channel: A channel of kombu's.
        name: The name of the queue of events.
    """
    for queue in (dead_queue(name), events_queue(name)):
        queue(channel).declare()


def open_channel(connection: Connection, name: str) -> Any:
    """Open a channel, and make both queues, unless they are there.

    A queue that an operator has made in another way, as a quorum queue perhaps, is used as
    it is, and so are queues where this user may make none.

    Args:
        connection: A connection that is made.
        name: The name of the queue of events.
    """
    channel = connection.channel()
    for queue in (dead_queue(name), events_queue(name)):
        try:
            queue(channel).declare()
        except (AccessRefused, PreconditionFailed):
            channel = connection.channel()  # the refusal has closed the other
    return channel
