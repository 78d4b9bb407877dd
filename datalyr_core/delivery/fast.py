"""The ingest over HTTP, with answers that a compiled parser reads: llhttp, which is Node's."""

from __future__ import annotations

from typing import Any

import httpcore
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from datalyr_core.delivery.connection import Reader
from datalyr_core.delivery.http import Pool


class LlhttpReader(Reader):
    """Read answers by llhttp."""

    def __init__(self) -> None:
        """Begin with no answer."""
        self._llhttp: Any = HttpResponseParser(self)
        # What h11 reads too. The strictness guards servers that share connections with others.
        self._llhttp.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
        )
        super().__init__()

    def feed(self, data: bytes) -> None:
        """Read what has come; see `Reader`."""
        try:
            self._llhttp.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            told = f"the answer is no HTTP/1.1 ({error})"
            raise httpcore.RemoteProtocolError(told) from error

    def end(self) -> None:
        """Let go of llhttp, which has hold of this object."""
        self._llhttp = None

    # For llhttp

    def on_message_begin(self) -> None:
        """Refuse an answer to no request."""
        if self.is_whole:
            raise HttpParserError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, but none that comes after the body."""
        if not self.status:
            self.headers[name.decode("latin-1")] = value.rstrip(b" \t").decode("latin-1")

    def on_headers_complete(self) -> None:
        """Take the status, unless another one follows."""
        status = self._llhttp.get_status_code()
        if status >= 200:
            self.status = status
        else:
            self.headers = {}

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """Note that the answer is there as a whole, if it was one."""
        if self.status:
            self.is_whole = True
            self.is_last = not self._llhttp.should_keep_alive()


class FastEngine(Pool):
    """Post as `Pool` does, with another parser."""

    reader = LlhttpReader
