"""A `Cookie` header, and a header for mobile apps, to the visitor's id.

The oracle reads the header's bytes with one expression and decodes by hand.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

from datalyr_core.config import Config
from datalyr_core.identity import read_cookie, usable_id, visitor_cookie
from datalyr_core.visitor import Visitor
from datalyr_core.web_request import absolute_url
from tests.fuzz.supply import Supply

MAX_LENGTH = 512

NAME = "__dl_visitor_id"
HEADER = "x-visitor-id"
_FIRST = re.compile(rb"(?:^|;)[ \t]*" + NAME.encode() + rb"[ \t]*=([^;]*)")
_HEX = b"0123456789abcdefABCDEF"
_SET_COOKIE = re.compile(rf"{NAME}=[A-Za-z0-9_.~%-]+; Path=/; Max-Age=31536000; SameSite=Lax")

_ID = b"anon_3d5cf66d-203f-4009-8bb0-f3714da152a4"
_COOKIE = NAME.encode()
SEEDS = (
    b"\0" + _COOKIE + b"=" + _ID,
    b"\0_ga=GA1.1; " + _COOKIE + b"=" + _ID + b"; " + _COOKIE + b"=other",
    b"\1" + _COOKIE + b"=%41%C3%A9%FF%zz%2; a=b",
    b"\0 \t" + _COOKIE + b"\t= a \x1f;" + _COOKIE,
    b"\2" + _COOKIE + b"=\xe2\x80\x8b1",
    b"\3" + _COOKIE + b"=" + b"x" * 257,
    b"\0x" + _COOKIE + b"=1;" + _COOKIE + b"x=2;=" + _COOKIE + b"=3",
)
WORDS = (
    _COOKIE, _COOKIE + b"=", b"; ", b"=", b"%41", b"%25", b"%C3%A9", b"%F0%9F%98%80", b"%ED%A0%80",
    b"\xa0", b"\x85", b"\x1f", b"\r\n", b'"', _ID,
)  # fmt: skip

_CONFIG = Config(api_key="dk_fuzz", anonymous_id_header=HEADER)


def check(data: bytes) -> None:
    supply = Supply(data)
    kind = supply.byte() % 4
    raw = supply.rest()
    if kind == 3:
        _any_text(raw)
        return
    header = raw.decode("latin-1")  # as WSGI and ASGI have it
    found = _sent_id(cookie=header)
    expected = _expected(raw)
    assert found == expected, f"{raw!r} is {found!r}, and should be {expected!r}"
    # What is joined behind a cookie that counts changes nothing.
    if read_cookie(header, NAME) is not None:
        assert _sent_id(cookie=f"{header}; {NAME}=other") == found
    assert _sent_id(cookie=f"{NAME}=first;{header}") == "first"
    assert _sent_id(cookie=f"a{NAME}=no; {NAME}", **{HEADER: "own"}) == "own"
    _header_of_its_own(raw)
    if found is not None:
        _written_again(found, header)


def _any_text(raw: bytes) -> None:
    """Take text that no server would give, but an application's own code may."""
    text = raw.decode("utf-16-le", "surrogatepass" if len(raw) % 2 == 0 else "ignore")
    for header in (text, f"{NAME}={text}", f"{text};{NAME}={text}"):
        _is_id(_sent_id(cookie=header))
        _is_id(_sent_id(**{HEADER: header}))
    url = absolute_url("https", "shop.example", f"/{text}", "")
    assert re.fullmatch(r"https://shop\.example/[!-~]*", url), url
    assert not re.search(r'["<>\\^`{|}#?]', url), url


def _header_of_its_own(raw: bytes) -> None:
    found = _sent_id(**{HEADER: raw.decode("latin-1")})
    _is_id(found)
    assert found == _usable(_decoded(raw)), raw


def _written_again(found: str, header: str) -> None:
    """Write the cookie as the server may: it is read back, and holds nothing but itself."""
    _is_id(found)
    written = visitor_cookie(NAME, found, domain=None, secure=False)
    assert _SET_COOKIE.fullmatch(written), written
    sent = written.partition(";")[0]
    assert read_cookie(sent, NAME) == found
    assert _sent_id(cookie=f"{sent}; {header}") == found


def _is_id(found: str | None) -> None:
    assert found is None or (
        type(found) is str and 1 <= len(found) <= 256 and all("!" <= each <= "~" for each in found)
    ), found
    assert usable_id(found) == found


def _sent_id(**headers: str) -> str | None:
    request = SimpleNamespace(header=headers.get)  # all that a visitor's id is read from
    return Visitor(cast("Any", request), _CONFIG).sent_id()


def _expected(raw: bytes) -> str | None:
    first = _FIRST.search(raw)
    return _usable(_decoded(first[1].strip(b" \t"))) if first else None


def _usable(value: bytes) -> str | None:
    fits = 1 <= len(value) <= 256 and all(0x21 <= each <= 0x7E for each in value)
    return value.decode("ascii") if fits else None


def _decoded(value: bytes) -> bytes:
    """Decode runs of %XX by hand; one that is no UTF-8 stays as it is."""
    told = b""
    at = 0
    while at < len(value):
        run = b""
        start = at
        while value[at : at + 1] == b"%" and _is_hex(value[at + 1 : at + 3]):
            run += bytes([int(value[at + 1 : at + 3], 16)])
            at += 3
        if run:
            told += run if _is_utf8(run) else value[start:at]
        else:
            told += value[at : at + 1]
            at += 1
    return told


def _is_hex(digits: bytes) -> bool:
    return len(digits) == 2 and all(each in _HEX for each in digits)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
