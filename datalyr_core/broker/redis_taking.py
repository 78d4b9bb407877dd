"""kombu's Redis transport, but for one step: a message is taken and noted as taken at once.

kombu pops a message and then notes it among those that are not acknowledged. A consumer or a
server that is killed in between takes the message with it. A script does both as one step
here; everything else (acknowledging, giving back, what becomes visible again) is kombu's.

When it was taken is a matter of Redis' own clock, and so is whether that was too long ago.
kombu asks each machine's: where one is ahead of the others by more than the visibility
time-out, or is put forward, it hands out what they are still at work on; where it is put back,
what a killed one held stays away for as long.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

POLL = 0.1  # seconds between one look at an empty queue and the next

# KEYS: what is not acknowledged, when each of it was taken, and the lists to look at, by
# priority. ARGV: a tag for what has none.
#
# A value that is no message of kombu's, as somebody else may push it, is wrapped into one:
# popped as it is it would be an error of kombu's, and gone.
_TAKE = """
for number = 3, #KEYS do
  local list = KEYS[number]
  local value = redis.call('RPOP', list)
  if value then
    local readable, message = pcall(cjson.decode, value)
    local info
    if readable and type(message) == 'table' and type(message.properties) == 'table' then
      info = message.properties.delivery_info
    end
    if type(info) ~= 'table' or type(info.exchange) ~= 'string'
      or type(info.routing_key) ~= 'string' or type(message.body) ~= 'string'
      or type(message.properties.delivery_tag) ~= 'string'
    then
      info = {exchange = '', routing_key = list}
      message = {
        body = value, headers = {unreadable = 1},
        ['content-type'] = 'application/octet-stream', ['content-encoding'] = 'binary',
        properties = {delivery_tag = ARGV[1], delivery_info = info}
      }
      value = cjson.encode(message)
    end
    local tag = message.properties.delivery_tag
    local route = cjson.encode({info.exchange, info.routing_key})
    local now = redis.call('TIME')
    redis.call('ZADD', KEYS[2], now[1] + now[2] / 1000000, tag)
    redis.call('HSET', KEYS[1], tag, '[' .. value .. ',' .. string.sub(route, 2))
    return {list, value}
  end
end
"""


# kombu's classes have no types to follow, so that they are Any to a type checker.


class _QoS(redis.QoS):  # type: ignore[misc]  # Any
    """Take and acknowledge also where memory is full: Redis refuses every transaction then."""

    _ahead = 0.0  # seconds that this machine's clock is ahead of that of Redis
    _looks = 0  # how often there was time to look for what was taken too long ago

    @property
    def visibility_timeout(self) -> float:
        """Return what kombu subtracts from this machine's time to have the time in Redis."""
        timeout: float = self.channel.visibility_timeout + self._ahead
        return timeout

    def append(self, message: Any, delivery_tag: str) -> None:
        """Hold a message; the script has noted it in Redis."""
        virtual.QoS.append(self, message, delivery_tag)

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        if pipe:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as acquired:
                yield acquired.pipeline(transaction=False)

    # What needs room to be handed out again comes later, when the visibility time-out is over.

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        self._looks += 1
        if self._looks % interval:
            return
        with self.channel.conn_or_acquire() as client:
            seconds, microseconds = client.time()
        self._ahead = time.time() - (seconds + microseconds / 1e6)
        with suppress(redis.redis.exceptions.OutOfMemoryError):
            super().restore_visible(start, num, interval=1)

    def restore_by_tag(self, *arguments: Any, **options: Any) -> None:
        with suppress(redis.redis.exceptions.OutOfMemoryError):
            super().restore_by_tag(*arguments, **options)


class _Taking:
    """Take messages by the script; stands before a channel of kombu's."""

    # The channel's own.
    client: Any
    active_queues: Any
    conn_or_acquire: Any
    qos: Any
    priority_steps: Any
    unacked_index_key: str
    unacked_key: str
    _in_poll: Any
    _q_for_pri: Any
    _queue_cycle: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Leave the end of the process alone, where a server that hangs would hold it up.

        kombu gives back there what is held; whoever wants that has closed the channel.
        """
        super().__init__(*arguments, **options)
        self.qos._on_collect.cancel()

    def _take(self, queues: Sequence[str]) -> list[Any]:
        """Return the command that takes a message from one of some queues."""
        lists = [self._q_for_pri(each, step) for step in self.priority_steps for each in queues]
        keys = [self.unacked_key, self.unacked_index_key, *lists]
        return ["EVAL", _TAKE, len(keys), *keys, str(uuid4())]

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Ask for a message. The answer looks like that of BRPOP, but comes at once."""
        queues = self._queue_cycle.consume(len(self.active_queues))  # there is at least one
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()
        self.client.connection.send_command(*self._take(queues))

    def _size(self, queue: str) -> int:
        """Return how many messages there are; no transaction either."""
        with self.conn_or_acquire() as client:
            return sum(client.llen(self._q_for_pri(queue, each)) for each in self.priority_steps)

    def _get(self, queue: str) -> Any:
        """Return a message of a queue, for those who fetch them one by one."""
        with self.conn_or_acquire() as client:
            taken = client.execute_command(*self._take([queue]))
        if not taken:
            raise Empty
        return loads(bytes_to_str(taken[1]))

    def close(self) -> None:
        """Close, without waiting for an answer: a message in it is noted, and comes back."""
        if self._in_poll:
            self._in_poll.disconnect()
        super().close()  # type: ignore[misc]  # the channel's


class _Message(redis.Channel.Message):  # type: ignore[misc]  # Any
    """Be a message also where its envelope cannot be opened: then it is its own body."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **more: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **more)
        except Exception:  # of base64, of an encoding or a compression that nobody knows
            properties = payload["properties"]
            bare = {name: properties[name] for name in ("delivery_info", "delivery_tag")}
            closed = {"body": dumps(payload), "headers": {}, "properties": bare}
            super().__init__(closed, channel=channel, **more)


class TakingChannel(_Taking, redis.Channel):  # type: ignore[misc]  # Any
    """Take messages from Redis."""

    Message = _Message
    QoS = _QoS


class TakingTransport(redis.Transport):  # type: ignore[misc]  # Any
    """Be kombu's transport with such channels."""

    Channel = TakingChannel


class TakingSentinelChannel(_Taking, redis.SentinelChannel):  # type: ignore[misc]  # Any
    """Take messages from the Redis that a Sentinel names."""

    Message = _Message
    QoS = _QoS


class TakingSentinelTransport(redis.SentinelTransport):  # type: ignore[misc]  # Any
    """Be kombu's transport with such channels."""

    Channel = TakingSentinelChannel
