from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datalyr_core.attribution import (
    REQUEST_FACTS,
    attribution,
    page_properties,
    redacted,
    request_properties,
)
from tests.support.web import PlainRequest

PARAMETERS = (  # noqa: SIM905 - one a line says no more
    "utm_source utm_medium utm_campaign utm_term utm_content utm_id "
    "fbclid gclid gbraid wbraid ttclid oppref msclkid twclid li_fat_id sclid dclid epik "
    "rdt_cid obclid irclid ko_click_id "
    "lyr ref source campaign medium gad_source dl_ksource dl_kmessage_id"
).split()
SECRETS = [
    "token", "access_token", "reset-token", "csrftoken", "secret", "client_secret", "password",
    "passwd", "pwd", "api_key", "apikey", "api-key", "key", "credential", "signature", "sig",
    "session", "sessionid", "jwt", "email", "e-mail", "phone", "auth", "oauth", "code", "otp",
    "pin", "ssn", "card", "cvv", "sid", "TOKEN", "Email", "user[email]", "passphrase",
]  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_parameter_of_the_contract_is_picked(name: str) -> None:
    assert attribution(f"a=b&{name}=some%20value+x") == {name: "some value x"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", {}),
        ("a=b&UTM_SOURCE=x&_dl_vid=anon_1", {}),
        ("ScCid=1", {"sclid": "1"}),
        ("sccid=1", {"sclid": "1"}),
        ("irclickid=1", {"irclid": "1"}),
        ("gclid=first&gclid=second", {"gclid": "first"}),
        ("sclid=first&ScCid=second", {"sclid": "first"}),
        ("gclid=&fbclid=1", {"fbclid": "1"}),
        ("gclid&fbclid=1", {"fbclid": "1"}),
        ("utm_source=%ff", {"utm_source": "\ufffd"}),
        ("ref=jane%40example.com&utm_source=x", {"utm_source": "x"}),
        ("a=1&" * 199 + "gclid=in", {"gclid": "in"}),
        ("a=1&" * 200 + "gclid=out", {}),
        ("x" * 5000 + "&gclid=out", {}),
    ],
)
def test_attribution(query: str, found: dict[str, str]) -> None:
    assert attribution(query) == found


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        (None, None),
        ("", None),
        ("https://example.com/a?b=c", "https://example.com/a?b=c"),
        ("https://example.com/a?b=c#secret", "https://example.com/a?b=c"),
        ("https://jane:pw@example.com/a", "https://example.com/a"),
        ("https://jane@x@example.com:8443/a", "https://example.com:8443/a"),
        ("/a/b?x=1&token=abc&y=2", "/a/b?x=1&token=redacted&y=2"),
        ("/a?token", "/a?token"),
        ("/a?%74oken=abc", "/a?%74oken=redacted"),
        ("/a?next=jane%40example.com", "/a?next=redacted"),
        ("/a?jane%40example.com", "/a?redacted"),
        ("/a?jane%40example.com=1", "/a?redacted"),
        ("/users/jane@example.com/edit", "/users/redacted/edit"),
        ("/users/jane%40example.com", "/users/redacted"),
        ("/a?author=x&keyboard=y&spin=z&zipcode=1", "/a?author=x&keyboard=y&spin=z&zipcode=1"),
        ("/a?gclid=1&utm_source=x", "/a?gclid=1&utm_source=x"),
        ("https://[::1", None),
        ("/" + "a" * 5000, "/" + "a" * 4095),
    ],
)
def test_redacted(url: str | None, clean: str | None) -> None:
    assert redacted(url) == clean


@pytest.mark.parametrize("name", SECRETS)
def test_the_value_of_a_secret_parameter_is_replaced(name: str) -> None:
    assert redacted(f"/a?x=1&{quote(name)}=hunter2") == f"/a?x=1&{quote(name)}=redacted"


@given(st.text())
def test_redaction_never_raises(url: str) -> None:
    redacted(url)
    redacted(f"https://{url}")
    attribution(url)


@given(
    st.sampled_from(SECRETS),
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=12).map(lambda text: f"Hunter{text}"),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=4),
    st.sampled_from([quote, quote_plus, str]),
)
def test_redaction_never_leaks_the_value_of_a_secret_parameter(
    name: str, secret: str, others: list[tuple[str, str]], encode: Callable[[str], str]
) -> None:
    pairs = [*((quote_plus(k), quote_plus(v)) for k, v in others), (encode(name), secret)]
    for url in ("https://example.com/a", "/a", ""):
        clean = redacted(f"{url}?{'&'.join(f'{k}={v}' for k, v in pairs)}#{secret}")
        assert clean is not None
        assert secret not in clean
        assert (name, "redacted") in parse_qsl(urlsplit(clean).query)


def test_a_page_is_told_with_its_campaign() -> None:
    request = PlainRequest(
        url="https://example.com/buy?gclid=1&token=x",
        path="/buy",
        query="gclid=1&token=x&utm_source=news",
        headers={"referer": "https://other.example/?email=jane@example.com"},
    )
    assert page_properties(request) == {
        "url": "https://example.com/buy?gclid=1&token=redacted",
        "path": "/buy",
        "referrer": "https://other.example/?email=redacted",
        "gclid": "1",
        "utm_source": "news",
    }


def test_what_cannot_be_told_is_left_out() -> None:
    assert page_properties(PlainRequest()) == {"path": "/"}
    assert request_properties(PlainRequest(), REQUEST_FACTS) == {"path": "/"}


def test_only_the_wanted_facts_are_told() -> None:
    request = PlainRequest(ip="192.0.2.1", headers={"user-agent": "Browser/1"})
    assert request_properties(request, ()) == {}
    assert request_properties(request, ("ip", "user_agent")) == {
        "ip": "192.0.2.1",
        "user_agent": "Browser/1",
    }
