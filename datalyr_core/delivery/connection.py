"""A connection to the ingest, which httpcore makes with the first request.

httpcore knows TLS, proxies and whatever else is in the way. What follows on a connection, which
is nearly everything, is written in one piece here and read by h11, httpcore's own parser: a whole
request of httpcore's takes twice as long.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import h11
import httpcore

from datalyr_core.delivery.base import Reply
from datalyr_core.delivery.network import TimedStream, give_up_at

MAX_REPLY = 65_536  # bytes of a reply that are read; nobody needs more to understand it
MAX_HEAD = 102_400  # bytes until its body begins; httpcore takes no more either
BODY_TIME = 1.0  # seconds for the body, once the status is there: that is what counts
KEEP_ALIVE = 30.0  # seconds that an idle connection is kept: less than common servers keep it

# An answer has to belong to a request, and to h11 all of ours are the same.
_REQUEST = h11.Request(
    method=b"POST", target=b"/", headers=[(b"Host", b""), (b"Content-Length", b"0")]
)


class Request(NamedTuple):
    """Hold what all requests of a client have in common.

    Attributes:
        url: Where they go.
        headers: All headers but the length of the body.
        written: Their beginning as it goes over a connection, up to that length; empty where
            they go to a proxy that passes each of them on, which wants them in another way.
    """

    url: httpcore.URL
    headers: Sequence[tuple[bytes, bytes]]
    written: bytes

    def with_body(self, body: bytes) -> httpcore.Request:
        """Return a request as httpcore takes it."""
        length = b"Content-Length", b"%d" % len(body)
        return httpcore.Request(b"POST", self.url, headers=[*self.headers, length], content=body)

    def written_with(self, body: bytes) -> bytes:
        """Return a request as it goes over a connection."""
        return b"%b%d\r\n\r\n%b" % (self.written, len(body), body)


class Reader:
    """Read the answers on a connection, one after the other.

    Attributes:
        status: The answer's status; 0 until its head is there.
        headers: Its headers.
        body: Its body, as far as it has come.
        is_whole: Whether all of it has come.
        is_last: Whether no other answer may be expected on the connection.
    """

    def __init__(self) -> None:
        """Begin with no answer."""
        Reader.begin(self)  # not what a parser does then: no request has gone out yet

    def begin(self) -> None:
        """Expect the next answer."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_whole = self.is_last = False

    def feed(self, data: bytes) -> None:
        """Read what has come.

        Raises:
            httpcore.RemoteProtocolError: It is no HTTP/1.1, or an answer to no request.
        """
        raise NotImplementedError

    def end(self) -> None:
        """Let go of what it reads with."""


class H11Reader(Reader):
    """Read answers by h11."""

    def __init__(self) -> None:
        """Begin with no answer."""
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        super().__init__()

    def begin(self) -> None:
        """Expect the next answer."""
        super().begin()
        if self._h11.our_state is h11.DONE:
            self._h11.start_next_cycle()
        self._h11.send(_REQUEST)
        self._h11.send(h11.EndOfMessage())

    def feed(self, data: bytes) -> None:
        """Read what has come; see `Reader`."""
        self._h11.receive_data(data)
        try:
            while (event := self._h11.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                self._take(event)
        except h11.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(str(error)) from error

    def _take(self, event: object) -> None:
        if type(event) is h11.Response:
            self.headers = _text_of(event.headers.raw_items())
            self.status = event.status_code
        elif type(event) is h11.Data:
            self.body += event.data
        elif type(event) is h11.EndOfMessage:
            self.is_whole = True
            more, _ = self._h11.trailing_data
            self.is_last = bool(more) or self._h11.their_state is not h11.DONE


class Connection:
    """A connection, and who reads the answers on it.

    Attributes:
        used: When it was used last, on the monotonic clock.
        was_answered: Whether anything has come since the last request went out.
    """

    def __init__(
        self, made: httpcore.ConnectionInterface, request: Request, reader: Reader
    ) -> None:
        """Begin with a connection that is not made yet."""
        self.used = 0.0
        self.was_answered = False
        self._made = made
        self._request = request
        self._reader = reader
        self._stream: TimedStream | None = None  # once httpcore has no more use for it

    def post(self, body: bytes, end: float) -> Reply:
        """Post one body.

        Args:
            body: The body.
            end: When the answer must be there, on the monotonic clock.

        Raises:
            Exception: There was no answer, not even its head.
        """
        if self._stream is None:
            return self._post_first(body, end)
        reader = self._reader
        reader.begin()
        try:
            self._exchange(self._stream, self._request.written_with(body), end)
        except Exception:
            reader.is_last = True
            # A body that breaks off takes nothing away from the status, which has been said: an
            # event that the ingest took is not sent again.
            if not reader.status:
                raise
        text = bytes(reader.body[:MAX_REPLY]).decode("utf-8", "replace")
        return Reply(reader.status, reader.headers, text)

    def _post_first(self, body: bytes, end: float) -> Reply:
        response = self._made.handle_request(self._request.with_body(body))
        try:
            if self._request.written:
                self._stream = response.extensions["network_stream"]
            end = min(end, time.monotonic() + BODY_TIME)
            give_up_at.set(end)
            text = beginning(response.iter_stream(), end)
            return Reply(response.status, _text_of(response.headers), text)
        finally:
            response.close()

    def _exchange(self, stream: TimedStream, request: bytes, end: float) -> None:
        """Send a request, and read the answer, or as much of it as anybody needs."""
        reader, size, has_head = self._reader, 0, False
        self.was_answered = False
        data = stream.exchange(request, end)
        while data:
            self.was_answered = True
            reader.feed(data)
            size += len(data)
            if reader.is_whole or len(reader.body) >= MAX_REPLY:
                return
            if reader.status and not has_head:
                has_head = True
                end = min(end, time.monotonic() + BODY_TIME)
            if size > MAX_HEAD + MAX_REPLY:  # what llhttp passes over is bounded, too
                raise httpcore.RemoteProtocolError("the answer does not end")
            if time.monotonic() >= end:  # it comes all the time, and does not end
                raise httpcore.ReadTimeout("the answer did not come to its end in time")
            data = stream.exchange(b"", end)
        if not reader.status:
            raise httpcore.RemoteProtocolError("the answer broke off in its head")

    @property
    def is_idle(self) -> bool:
        """Tell whether the last answer came as a whole, so that another request may follow."""
        reader = self._reader
        if not reader.status:
            return self._made.is_idle()
        return reader.is_whole and not reader.is_last

    @property
    def has_expired(self) -> bool:
        """Tell whether the server has closed it meanwhile, or is about to."""
        if self._stream is None:
            return self._made.has_expired()
        idle = time.monotonic() - self.used
        return idle > KEEP_ALIVE or bool(self._stream.get_extra_info("is_readable"))

    def close(self) -> None:
        """Close it."""
        self._made.close()
        self._reader.end()


def _text_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def beginning(content: Iterable[bytes], end: float) -> str:
    """Read the beginning of a reply's body, within some time.

    What breaks off is enough, as in `Connection.post`.

    Args:
        content: The parts of the body.
        end: When to stop, on the monotonic clock.
    """
    read = bytearray()
    with suppress(Exception):  # httpcore's, httpx's or those of its successors
        for chunk in content:
            read += chunk
            if len(read) >= MAX_REPLY or time.monotonic() >= end:
                break
    return bytes(read[:MAX_REPLY]).decode("utf-8", "replace")
