"""Replies that are no HTTP, or not quite."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.fault import HARMLESS, Fault
from tests.faults.site import answering, taking
from tests.support.ingest import GARBAGE, Answer

_OK = b"HTTP/1.1 200 OK\r\n"

FAULTS = (
    Fault("bad HTTP", answering(GARBAGE)),
    Fault("closes without a reply", answering(Answer(raw=b""))),
    Fault(
        "200, shorter than its length",
        taking(Answer(raw=_OK + b"Content-Length: 100\r\n\r\nhalf")),
        goal=HARMLESS,
    ),
    Fault(
        # What is too much is taken for the beginning of the next reply, which is lost.
        "200, longer than its length",
        answering(Answer(headers={"Content-Length": "5"})),
        goal=replace(HARMLESS, again=True, lines=(1, 1), told=("keeps breaking off",)),
    ),
    Fault("200 without a length", taking(Answer(raw=_OK + b"\r\nfine")), goal=HARMLESS),
    Fault(
        "200 in chunks that are none",
        taking(Answer(raw=_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")),
        goal=HARMLESS,
    ),
    Fault(
        "200 with an error in its body",  # the contract: 2xx is delivered
        answering(Answer(body=b'{"success":false,"error":"on purpose"}')),
        goal=HARMLESS,
    ),
)
