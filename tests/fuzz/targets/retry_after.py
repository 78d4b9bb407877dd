"""How long a reply's headers ask to be left alone.

The oracle reads what RFC 9110 has: whole seconds, and the three forms of a date. Anything
else has to make some number from 0 to 60.
"""

from __future__ import annotations

import calendar
import math
import re
from datetime import UTC, datetime
from typing import Any

from datalyr_core.retry import backoff, retry_after
from tests.fuzz.supply import Supply

MAX_LENGTH = 160

NOW = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC).timestamp()
_MONTHS = {name: n for n, name in enumerate(calendar.month_abbr) if name}
_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_MONTH = f"(?P<month>{'|'.join(_MONTHS)})"
_DATES = (
    re.compile(f"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(
        "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday), "
        f"(?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"
    ),
    re.compile(f"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)

_VALUES = (
    b"7", b"60", b"120", b"0", b"-5", b" 7.5 ", b"nan", b"1_0", b"1e400", b"soon", b"",
    b"Wed, 01 Jul 2026 12:00:20 GMT", b"Wednesday, 01-Jul-26 12:00:20 GMT",
    b"Wed Jul  1 12:00:20 2026", b"Wed, 01 Jul 2026 12:00:20 -0000",
    b"Fri, 31 Dec 9999 23:59:59 -9999", b"Mon, 01 Jan 0001 00:00:00 +2359",
)  # fmt: skip
_RESET = b"1782907210"
SEEDS = (
    *(b"\x00\x00\x00" + each for each in _VALUES),
    *(b"\x00\x01" + bytes([len(each) % 25]) + each[:24] + b"soon" for each in _VALUES),
    b"\x00\x01\x0a" + _RESET + b"soon",
    *(b"\x01\x01\x0a" + _RESET + each for each in _VALUES),
    *(b"\x03" + bytes([0, n]) + _RESET[:n] + _VALUES[n] for n in range(6)),
)
WORDS = (
    b"Wed, ", b"01 Jul 2026", b" 12:00:20", b" GMT", b" +0000", b" -0000", b"Jul", b"Wednesday, ",
    b"01-Jul-26", b"1782907210", b"inf", b"nan", b"1e", b"0x", b"_", b"(", b")", b"\xb2", b"\xa0",
)  # fmt: skip


def check(data: bytes) -> None:
    supply = Supply(data)
    kind, with_reset = supply.byte() % 4, supply.byte() % 2
    reset = supply.take(24)
    after = supply.rest()
    if kind == 3:
        _odd_mapping(supply, after, reset)
        return
    headers = {"Retry-After": _text(after, kind)}
    if with_reset:
        headers["x-RATELIMIT-reset"] = _text(reset, kind)
    wait = _bounded(headers)
    expected = _expected(_text(after, kind), _text(reset, kind) if with_reset else "")
    assert expected is None or math.isclose(wait, expected, abs_tol=1e-6), (
        f"{headers} is {wait} and should be {expected}"
    )
    assert 0.5 <= backoff(1 + len(after), (len(reset) % 25) / 24) <= 10


def _odd_mapping(supply: Supply, after: bytes, reset: bytes) -> None:
    """Take what an application's own transport may give in place of strings."""
    odd: Any = (after, None, int.from_bytes(after[:64], "little"), [after], after.decode("latin-1"))
    headers: Any = {
        "RETRY-after": odd[len(reset) % len(odd)],
        reset: after,
        "X-RateLimit-Reset": odd[len(after) % len(odd)],
        None: None,
    }
    _bounded(headers)


def _bounded(headers: Any) -> float:
    wait = retry_after(headers, NOW)
    assert type(wait) is float, f"{headers} is a {type(wait)}"
    assert 0 <= wait <= 60, f"{headers} is {wait}"  # and so no NaN either
    assert retry_after(dict(reversed(headers.items())), NOW) == wait
    return wait


def _text(raw: bytes, kind: int) -> str:
    return raw.decode(("latin-1", "utf-8", "utf-16-le")[kind], "replace")


def _expected(after: str, reset: str) -> float | None:
    """Tell what the wait must be; None where RFC 9110 does not say."""
    told = _seconds(after)
    if told is None:
        moment = _date(after)
        told = moment - NOW if moment is not None else None
    if told is None and not re.search(r"[0-9]", after, re.ASCII) and after.isascii():
        told = 0.0  # nothing that could be a number or a date
        if reset:
            moment = _seconds(reset)
            told = None if moment is None else moment - NOW
    return None if told is None else min(max(told, 0.0), 60.0)


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,15}", text) else None


def _date(text: str) -> float | None:
    for form in _DATES:
        found = form.fullmatch(text)
        if found:
            year = int(found["year"])
            if len(found["year"]) == 2:
                # More than 50 years from now is the past; the years between are anybody's.
                if not 0 <= year <= 60:
                    return None
                year += 2000
            if year < 1000:  # of "0026", nobody can tell whether it is 2026
                return None
            numbers = [int(found[name]) for name in ("day", "hour", "minute", "second")]
            return _epoch(year, _MONTHS[found["month"]], *numbers)
    return None


def _epoch(year: int, month: int, day: int, *clock: int) -> float | None:
    try:
        return datetime(year, month, day, *clock, tzinfo=UTC).timestamp()
    except ValueError:  # the 31st of June
        return None
