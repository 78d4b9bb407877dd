"""One event, sent as every other is, and what the ingest says to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from datalyr_core import calls
from datalyr_core.config import Config
from datalyr_core.delivery.base import Reply, checked
from datalyr_core.delivery.http import HttpTransport
from datalyr_core.doctor.bounded import bounded
from datalyr_core.doctor.findings import Finding, Level, error, ok, skipped, warning
from datalyr_core.identity import new_anonymous_id, new_id

EVENT = "datalyr doctor"
SLOW = 1.0  # seconds for one event
SKEW = 60.0  # seconds between the clocks of two machines that are set right
_SAID = 200  # characters of an answer
_BELT = 5.0  # seconds more, for what a time-out does not reach

_KEY = "The key is not taken: copy it again from Datalyr's settings (dk_...)."
_TODO = {
    401: _KEY,
    403: _KEY,
    404: "Nothing is at that path: host must be the whole URL, such as https://.../track.",
    405: "That path takes no POST: host must be the whole URL, such as https://.../track.",
    413: "Something on the way refuses even a small event: look at the proxy's body limit.",
    429: "The ingest asks for fewer events: lower concurrency, and ask for a higher limit.",
}
_LATER = "The ingest has trouble of its own; events wait and are sent again. Try again later."
_MOVED = "Redirects are not followed: write the URL that it leads to as host."
_OTHER = "The ingest does not take events here: check host, and the key."


def probe(config: Config, timeout: float) -> Iterator[Finding]:
    """Send one event of an id of its own, and judge the answer."""
    begun = time.monotonic()
    try:
        answer = _send(config, timeout)
    except Exception as problem:
        name = type(problem).__name__
        yield error(
            "probe",
            f"no answer to an event: {str(problem) or name}"[:500],
            "Look at the findings above; if they are fine, try again with a longer --timeout.",
        )
        return
    took = time.monotonic() - begun
    yield judged(answer)
    if took > SLOW:
        yield warning(
            "latency",
            f"the answer took {took:.1f} s",
            "Events wait longer and more are lost at an exit: look for a slow proxy or resolver.",
        )
    else:
        yield ok("latency", f"{took * 1000:.0f} ms, with the connection made anew")
    yield from check_clock(answer, time.time())


def judged(answer: Reply) -> Finding:
    """Tell what a status means and what to do about it."""
    said = f"the ingest answered {answer.status}"
    text = answer.text.strip()[:_SAID]
    seen = f"{said}: {text}" if text else said
    if 200 <= answer.status < 300:
        return ok("probe", f"{seen} (event {EVENT!r})")
    if answer.status in _TODO:
        level = Level.WARNING if answer.status == 429 else Level.ERROR
        return Finding("probe", level, seen, _TODO[answer.status])
    if answer.status == 408 or answer.status >= 500:
        return error("probe", seen, _LATER)
    return error("probe", seen, _MOVED if 300 <= answer.status < 400 else _OTHER)


def check_clock(answer: Reply, now: float) -> Iterator[Finding]:
    """Compare this machine's clock with the ingest's, by the Date of its answer."""
    dates = [value for name, value in answer.headers.items() if name.lower() == "date"]
    try:
        skew = now - parsedate_to_datetime(dates[0]).timestamp()
    except (IndexError, ValueError):
        yield skipped("clock", "the answer has no Date to compare with")
        return
    if abs(skew) > SKEW:
        way = "ahead of" if skew > 0 else "behind"
        yield warning(
            "clock",
            f"this machine is {abs(skew):.0f} s {way} the ingest",
            "Set the clock (NTP): events carry its time, and certificates are judged by it.",
        )
    else:
        yield ok("clock", f"within {SKEW:g} s of the ingest's")


def _send(config: Config, timeout: float) -> Reply:
    event = calls.track(event=EVENT, anonymous_id=new_anonymous_id(), event_id=f"doctor-{new_id()}")
    body = event.to_body()
    if isinstance(config.transport, str):
        # It knows its time itself, and says better what took it.
        answer = bounded(lambda: _post(config, body, timeout), timeout + _BELT)
    else:
        answer = bounded(lambda: config.transport.send(body), timeout)
    whole = checked(answer)
    if isinstance(whole, Reply):
        return whole
    raise whole


def _post(config: Config, body: bytes, timeout: float) -> Reply:
    transport = HttpTransport(config)
    transport.deadline = time.monotonic() + timeout
    try:
        return transport.send(body)
    finally:
        transport.close()
