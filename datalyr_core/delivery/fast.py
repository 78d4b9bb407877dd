"""The ingest over HTTP, with answers that a compiled parser reads: llhttp, which is Node's.

httpcore makes each connection and sends its first request, so that TLS, proxies and whatever
else is in the way are as ever. What follows on a connection, which is nearly everything, is
written in one piece and read by llhttp: h11, which httpcore has, is written in Python.
"""

from __future__ import annotations

import time

import httpcore
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from datalyr_core.delivery import http
from datalyr_core.delivery.base import Reply
from datalyr_core.delivery.network import give_up_at

MAX_HEAD = 102_400  # bytes until an answer's body begins; httpcore takes no more either
_AT_ONCE = 65_536  # bytes


class Connection(http.Connection):
    """A connection whose answers llhttp reads, from the second on."""

    def __init__(self, made: httpcore.ConnectionInterface, request: http.Request) -> None:
        """Begin with a connection that is not made yet."""
        super().__init__(made, request)
        self._stream: httpcore.NetworkStream | None = None
        self._parser = HttpResponseParser(self)
        # What h11 reads too. The strictness guards servers that share connections with others.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
        )
        self._begin()

    def _begin(self) -> None:
        self._status = 0  # of the answer; 0 until its head is there
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._is_whole = self._is_last = False

    def post(self, body: bytes, end: float) -> Reply:
        """Post one body; see `http.Connection`."""
        stream = self._stream
        if stream is None:
            return super().post(body, end)
        self._begin()
        stream.write(self._request.written_with(body))
        try:
            self._read(stream, end)
        except Exception as error:
            # A body that breaks off takes nothing away from the status, which has been said.
            self._is_last = True
            if not self._status:
                raise _as_of_httpcore(error) from error
        text = bytes(self._body[: http.MAX_REPLY]).decode("utf-8", "replace")
        return Reply(self._status, self._headers, text)

    def _read(self, stream: httpcore.NetworkStream, end: float) -> None:
        """Read an answer, or as much of it as anybody needs."""
        size, has_head = 0, False
        while not self._is_whole and len(self._body) < http.MAX_REPLY and time.monotonic() < end:
            data = stream.read(_AT_ONCE)
            if not data:
                if not self._status:
                    raise httpcore.RemoteProtocolError("the answer broke off in its head")
                return
            self._parser.feed_data(data)
            size += len(data)
            if self._status and not has_head:
                has_head = True
                end = min(end, time.monotonic() + http.BODY_TIME)
                give_up_at.set(end)
            elif not has_head and size > MAX_HEAD:
                raise httpcore.RemoteProtocolError("the answer's head does not end")

    def _answered(self, response: httpcore.Response) -> None:
        if self._request.written:
            self._stream = response.extensions["network_stream"]

    def is_idle(self) -> bool:
        """Tell whether the last answer came as a whole, so that another request may follow."""
        if not self._status:
            return super().is_idle()
        return self._is_whole and not self._is_last

    def has_expired(self) -> bool:
        """Tell whether the server has closed it meanwhile."""
        if self._stream is None:
            return super().has_expired()
        idle = time.monotonic() - self.used
        return idle > http.KEEP_ALIVE or bool(self._stream.get_extra_info("is_readable"))

    # For llhttp

    def on_message_begin(self) -> None:
        """Refuse an answer to no request."""
        if self._is_whole:
            raise HttpParserError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but none that comes after the body."""
        if not self._status:
            self._headers[name.decode("latin-1")] = value.rstrip(b" \t").decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take the status, unless another one follows."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
        else:
            self._headers = {}

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self._body += data

    def on_message_complete(self) -> None:
        """Note that the answer is there as a whole, if it was one."""
        if self._status:
            self._is_whole = True
            self._is_last = not self._parser.should_keep_alive()


def _as_of_httpcore(error: Exception) -> Exception:
    """Return what httpcore would raise; nobody has asked for another protocol."""
    if isinstance(error, HttpParserError | HttpParserUpgrade):
        return httpcore.RemoteProtocolError(f"the answer is no HTTP/1.1 ({error})")
    return error


class FastEngine(http.Pool):
    """Post as `http.Pool` does, with fewer steps."""

    connection = Connection
