from __future__ import annotations

import errno
import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalyr_core import identity
from datalyr_core.identity import (
    new_anonymous_id,
    new_id,
    read_cookie,
    usable_id,
    visitor_cookie,
)

NAME = "__dl_visitor_id"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_ids_are_random_uuids_of_version_4() -> None:
    ids = {new_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(UUID4.fullmatch(each) for each in ids)


def test_ids_are_made_where_the_system_lacks_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(size: int) -> bytes:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(identity, "_draw", refuse)
    assert UUID4.fullmatch(new_id())
    assert new_id() != new_id()


def test_anonymous_ids_look_like_the_browsers() -> None:
    prefix, _, rest = new_anonymous_id().partition("_")
    assert prefix == "anon"
    assert UUID4.fullmatch(rest)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (None, None),
        ("", None),
        ("other=1", None),
        (f"{NAME}=anon_1", "anon_1"),
        (f"a=b; {NAME}=anon_1; c=d", "anon_1"),
        (f"a=b;{NAME}=anon_1;c=d", "anon_1"),
        (f"  {NAME}  =  anon_1  ", "anon_1"),
        (f"{NAME}=\x1fanon_1\xa0", "\x1fanon_1\xa0"),
        (f"\x0b{NAME}=no; \x85{NAME}=no; \t{NAME}=yes", "yes"),
        (f"{NAME}=first; {NAME}=second", "first"),
        (f"{NAME}=", ""),
        (f"{NAME}=; {NAME}=second", ""),
        (NAME, None),
        (f"{NAME}; {NAME}=second", "second"),
        (f"x{NAME}=no", None),
        (f"{NAME}x=no", None),
        (f"a={NAME}=no", None),
        (f"a={NAME}; {NAME}=yes", "yes"),
        (f"{NAME}=a=b", "a=b"),
        (f'{NAME}="quoted"', '"quoted"'),
        (f"{NAME}=a%20b%2Fc", "a b/c"),
        (f"{NAME}=%C3%A9", "é"),
        (f"{NAME}=%FF", "%FF"),
        (f"{NAME}=100%", "100%"),
        (f"{NAME}=%zz%41", "%zzA"),
        (f"{NAME}=%41-%FF-%42", "A-%FF-B"),
        ("; " * 500 + f"{NAME}=anon_1", "anon_1"),
        (f"{NAME}=x; " * 300, "x"),
    ],
)
def test_cookies_are_read_as_the_browser_sdk_reads_them(
    header: str | None, value: str | None
) -> None:
    assert read_cookie(header, NAME) == value


@given(st.text(), st.text())
def test_no_cookie_header_raises(before: str, after: str) -> None:
    for header in (before, f"{before}{NAME}={after}", f"{before}; {NAME}={after}"):
        found = usable_id(read_cookie(header, NAME))
        assert found is None or re.fullmatch(r"[\x21-\x7e]{1,256}", found)


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_what_the_browser_encodes_is_read_back(value: str) -> None:
    encoded = quote(value.encode("utf-8", "replace"), safe="")
    header = f"_ga=GA1.1; {NAME}={encoded}; {NAME}=other"
    assert read_cookie(header, NAME) == value.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        (None, False),
        ("", False),
        ("a", True),
        ("anon_3d5cf66d-203f-4009-8bb0-f3714da152a4", True),
        ("!~", True),
        ("x" * 256, True),
        ("x" * 257, False),
        ("x" * 10_000, False),
        ("a b", False),
        ("a\n", False),
        ("a\x00", False),
        ("a\x7f", False),
        ("é", False),
        ("\ud800", False),
    ],
)
def test_only_1_to_256_visible_ascii_characters_are_an_id(value: str | None, usable: bool) -> None:
    assert usable_id(value) == (value if usable else None)


def test_the_cookie_is_the_one_that_the_browser_sdk_writes() -> None:
    plain = visitor_cookie(NAME, "anon_1", domain=None, secure=False)
    assert plain == f"{NAME}=anon_1; Path=/; Max-Age=31536000; SameSite=Lax"
    full = visitor_cookie(NAME, "a;b é", domain="example.com", secure=True)
    assert full == (
        f"{NAME}=a%3Bb%20%C3%A9; Path=/; Max-Age=31536000; SameSite=Lax; Domain=example.com; Secure"
    )
