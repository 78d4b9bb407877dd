"""Taking messages from a broker, as a relay does."""

from __future__ import annotations

from typing import Any

import orjson

from datalyr_core.broker import message
from datalyr_core.broker.connection import connect, connection_to
from datalyr_core.broker.queues import events_queue


def taken(url: str, queue: str) -> list[Any]:
    """Take and acknowledge all messages that are there."""
    messages = []
    with connection_to(url, timeout=30) as connection:
        connect(connection)
        bound = events_queue(queue)(connection.channel())
        while (got := bound.get()) is not None:
            got.ack()
            messages.append(got)
    return messages


def names_in(messages: list[Any]) -> list[str]:
    """Return the names of the events in some messages, in order."""
    bodies = [body for each in messages for body in message.unpack(each.body)]
    return [str(orjson.loads(body)["event"]) for body in bodies]


def names_at(url: str, queue: str) -> list[str]:
    """Take all messages, and return the names of their events."""
    return names_in(taken(url, queue))
