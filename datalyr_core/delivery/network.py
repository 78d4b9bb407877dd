"""The network under the HTTP engine, with one bound on all that a request does on it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, zip_longest
from typing import Any, TypeVar
from weakref import WeakSet

import httpcore

from datalyr_core.per_thread import PerThread

T = TypeVar("T")

AT_ONCE = 65_536  # bytes that are read at once
AWAKE = 0.5  # seconds for threads to notice the end of their connections
_CLOSED = "the client is closed"

# When a thread gives up the request that it has under way, on the monotonic clock.
give_up_at: PerThread[float] = PerThread()


def _until(end: float) -> float:
    """Return the seconds that are left, for a time-out, of which none may be 0."""
    return max(end - time.monotonic(), 0.001)


def _left(timeout: float | None) -> float:
    """Return the seconds that this thread's request has left, at most some time-out."""
    left = _until(give_up_at.get() or 0.0)
    return left if timeout is None else min(left, timeout)


class TimedBackend(httpcore.NetworkBackend):
    """Bound all that a request does on the network together; httpcore bounds each step.

    That goes for the addresses of a host too. The ordinary backend gives the first all the
    time that there is, and where that one is dead, as IPv6 often is, no request ever goes out.
    """

    def __init__(self) -> None:
        """Stand before the ordinary backend."""
        self._real = httpcore.SyncBackend()
        self._worked: int | None = None  # the address family of the last connection
        self._closed = False
        # Weakly: httpcore drops some that fail, without closing them.
        self._open: WeakSet[TimedStream] = WeakSet()

    def close(self) -> None:
        """Close every connection, also one that is being made: httpcore's pool forgets those.

        Nothing is connected after that.
        """
        self._closed = True
        found: list[TimedStream] = []
        while self._open:
            with suppress(RuntimeError, KeyError):  # others come or go this very moment
                found.append(self._open.pop())
        busy = [stream for stream in found if not stream.end()]
        until = time.monotonic() + AWAKE  # for all of them together
        for stream in busy:
            stream.close_within(until - time.monotonic())

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that lives, each having its share of the time.

        Raises:
            httpcore.ConnectError: The name has no address, or each refused; or it was closed.
            httpcore.ConnectTimeout: The last of them did not answer in time.
        """
        if self._closed:
            raise httpcore.ConnectError(_CLOSED)
        addresses = self._addresses(host, port)
        while True:
            family, address = addresses.pop(0)
            share = _left(timeout) / (len(addresses) + 1)
            try:
                stream = self._real.connect_tcp(address, port, share, *args, **options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not addresses:
                    raise
            else:
                self._worked = family
                return self.watched(TimedStream(stream, self))

    def watched(self, stream: TimedStream) -> TimedStream:
        """Keep a connection in mind, for `close` to find it, unless it comes too late.

        Raises:
            httpcore.ConnectError: It was closed meanwhile, and so is the connection.
        """
        self._open.add(stream)
        if self._closed:
            stream.close()
            raise httpcore.ConnectError(_CLOSED)
        return stream

    def _addresses(self, host: str, port: int) -> list[tuple[int, str]]:
        """Look a name up: address families take turns, beginning with the one that worked."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        families = dict.fromkeys(family for family, *_ in found)
        first = sorted(families, key=lambda family: family != self._worked)
        columns = (
            [(each, str(address[0])) for each, *_, address in found if each == family]
            for family in first
        )
        turns = chain.from_iterable(zip_longest(*columns))
        return [each for each in turns if each is not None]


class TimedStream(httpcore.NetworkStream):
    """Give each step on a connection the time that its request has left."""

    def __init__(
        self, real: httpcore.NetworkStream, backend: TimedBackend, *, is_nested: bool = False
    ) -> None:
        """Stand before an ordinary stream.

        Args:
            real: That one.
            backend: Who is to know of it.
            is_nested: Whether it is TLS within TLS, which the socket knows nothing of.
        """
        self._real = real
        self._socket: Any = None if is_nested else real.get_extra_info("socket")
        self._backend = backend
        self._at_work = threading.Lock()
        self._closed = False
        # Held while the descriptor is told to end, so that nobody closes it at that moment and
        # the number becomes somebody else's. Re-entrant: a finalizer may close the client.
        self._at_descriptor = threading.RLock()
        self._twin: socket.socket | None = None  # of the socket, while TLS has taken it away
        self._unsent = b""
        self._is_cut = False  # whether a request went out in part

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what was written, and return what comes; for httpcore."""
        unsent, self._unsent = self._unsent, b""
        end = give_up_at.get() or 0.0
        if not unsent and time.monotonic() >= end:  # httpcore would read hints (1xx) for ever
            raise httpcore.ReadTimeout("the answer did not come to its end in time")
        return self.exchange(unsent, end)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send it together with what follows, by the next `read`: head and body are one packet."""
        self._unsent += buffer

    def exchange(self, data: bytes, end: float) -> bytes:
        """Send something, if there is anything, and return what comes.

        Args:
            data: What to send.
            end: When to give up, on the monotonic clock.

        Returns:
            What has come; nothing once the server has closed.

        Raises:
            httpcore.TimeoutException: Nothing came in time.
            httpcore.NetworkError: The connection broke off.
        """
        return self._step(self._talk if self._socket is None else self._talk_plainly, data, end)

    def _talk(self, data: bytes, end: float) -> bytes:
        # A server may answer and close before it has read everything; httpcore, too, goes on.
        with suppress(httpcore.WriteError):
            self._is_cut = True
            self._real.write(data, _until(end))
            self._is_cut = False
        return self._real.read(AT_ONCE, _until(end))

    def _talk_plainly(self, data: bytes, end: float) -> bytes:
        """Do the same on the socket itself: nearly every event comes through here."""
        connection = self._socket
        try:
            if data:
                connection.settimeout(_until(end))
                connection.sendall(data)
        except OSError:  # as above; also one that takes too long, whose answer may be there
            self._is_cut = True
        try:
            connection.settimeout(_until(end))
            received: bytes = connection.recv(AT_ONCE)
            return received
        except TimeoutError as error:
            raise httpcore.ReadTimeout(error) from error
        except OSError as error:
            raise httpcore.ReadError(error) from error

    def close(self) -> None:
        """Close the connection, once no other thread is at work on it.

        A thread that waits for a descriptor is not woken when that is closed; and once the
        number is somebody else's, it waits for what is theirs. The end of the connection wakes
        it; if that takes a while, it closes the connection itself.
        """
        was_closed = self._closed
        if not self.end() and not was_closed:
            self.close_within(AWAKE)

    def end(self) -> bool:
        """Close the connection if no thread is at work on it, else end it, which wakes that one.

        Returns:
            Whether it is closed.
        """
        self._closed = True
        if self._at_work.acquire(blocking=False):
            try:
                self._close_descriptor()
            finally:
                self._at_work.release()
            return True
        with self._at_descriptor, suppress(OSError):
            # Not TLS's own, which would take its state away from that thread.
            found = self._twin or self._real.get_extra_info("socket")
            socket.socket.shutdown(found, socket.SHUT_RDWR)
        return False

    def close_within(self, seconds: float) -> None:
        """Close the connection once its thread has noticed the end, unless that takes longer."""
        if self._at_work.acquire(timeout=max(seconds, 0.0)):
            try:
                self._close_descriptor()
            finally:
                self._at_work.release()

    def _close_descriptor(self) -> None:
        with self._at_descriptor:
            self._real.close()

    def _step(self, step: Callable[..., T], *arguments: Any) -> T:
        try:
            with self._at_work:
                return step(*arguments)
        finally:
            if self._closed:
                self._close_descriptor()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Speak TLS from here on; for httpcore."""
        is_nested = isinstance(self._real.get_extra_info("socket"), ssl.SSLSocket)
        with self._within_reach():
            real = self._step(self._real.start_tls, ssl_context, server_hostname, _left(timeout))
        return self._backend.watched(TimedStream(real, self._backend, is_nested=is_nested))

    @contextmanager
    def _within_reach(self) -> Iterator[None]:
        """Keep hold of the connection during the handshake, which takes the socket away.

        The handshake within another connection over TLS leaves it where it is.
        """
        found = self._real.get_extra_info("socket")
        if not isinstance(found, ssl.SSLSocket):
            with suppress(OSError):  # no descriptor is free; the handshake may need none
                self._twin = found.dup()
        try:
            yield
        finally:
            with self._at_descriptor:
                twin, self._twin = self._twin, None
                if twin is not None:
                    twin.close()

    def get_extra_info(self, info: str) -> Any:
        """Tell something of the connection, as httpcore's streams do."""
        if info == "is_readable" and self._is_cut:
            return True  # as one that was closed: the server takes what follows for the rest
        return self._real.get_extra_info(info)
