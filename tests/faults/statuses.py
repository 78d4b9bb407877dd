"""Replies that say no, or not now."""

from __future__ import annotations

import time
from email.utils import formatdate

from datalyr_core import Reply
from tests.faults.fault import REFUSED, Fault, Goal
from tests.faults.hour import EPOCH, Answered
from tests.faults.site import answering
from tests.support.ingest import Answer, Received

_LOUD = Goal(arrives=0, dropped="permanent_client_error", lines=(2, 2), down=False)


def _status(status: int, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, headers=named, body=b"on purpose")


def _in_two_seconds(request: Received) -> Answer:
    return _status(429, Retry_After=formatdate(time.time() + 2, usegmt=True))


def _in_half_a_minute(now: float) -> Answered:
    return Reply(429, {"Retry-After": formatdate(EPOCH + now + 30, usegmt=True)}), 0.02


FAULTS = (
    Fault("301", answering(_status(301, Location="/elsewhere")), goal=REFUSED),
    *(Fault(str(status), answering(_status(status)), goal=_LOUD) for status in (401, 403)),
    Fault("408", answering(_status(408))),
    Fault("413", answering(_status(413)), goal=REFUSED),
    Fault("429", answering(_status(429))),
    Fault("429, Retry-After: 2", answering(_status(429, Retry_After="2")), goal=Goal(most=20)),
    Fault(
        "429, Retry-After: a date",
        answering(_in_two_seconds),
        goal=Goal(most=3),
        hour=_in_half_a_minute,
    ),
    Fault("429, Retry-After: soon", answering(_status(429, Retry_After="soon"))),
    Fault("429, Retry-After: -1", answering(_status(429, Retry_After="-1"))),
    Fault(
        # Here it only asks for a moment, in the simulated hour for longer than a century.
        "429, Retry-After: 400 digits",
        answering(_status(429, Retry_After="0" * 399 + "2")),
        goal=Goal(most=2),
        hour=lambda now: (Reply(429, {"Retry-After": "9" * 400}), 0.02),
    ),
    *(Fault(str(status), answering(_status(status))) for status in range(500, 505)),
)
