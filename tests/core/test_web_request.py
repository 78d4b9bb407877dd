from __future__ import annotations

from typing import Any

import pytest

from datalyr_core.browser_sdk import script_tag
from datalyr_core.web_request import PENDING, absolute_url, excluded
from tests.conftest import MakeClient
from tests.support.web import PlainRequest


@pytest.mark.parametrize(
    ("path", "exclude", "expected"),
    [
        ("/healthz", ["/healthz"], True),
        ("/healthz/live", ["/healthz"], True),
        ("/healthzx", ["/healthz"], False),
        ("/static/a.css", ["/static/"], True),
        ("/static", ["/static/"], False),
        ("/a", [], False),
        ("/a", ["/"], True),
    ],
)
def test_paths_exclude_themselves_and_what_is_below(
    path: str, exclude: Any, expected: bool, make_client: MakeClient
) -> None:
    request = PlainRequest(path=path)
    assert excluded(request, exclude) is expected
    assert make_client(exclude=exclude).excludes(request) is expected


def test_a_callable_excludes_by_the_native_request(caplog: pytest.LogCaptureFixture) -> None:
    request = PlainRequest(path="/a")
    assert excluded(request, lambda native: native is request)
    assert not excluded(request, lambda native: 0)
    assert not excluded(request, lambda native: 1 / 0)
    assert "exclude raised; the request is not excluded" in caplog.text


def test_answer_that_has_to_be_awaited_excludes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is true as it stands, and would exclude all."""

    async def ask(native: object) -> bool:
        return True

    class Awaited:
        def __await__(self) -> Any:
            yield

    for answer in (ask, lambda native: Awaited()):
        assert not excluded(PlainRequest(), answer)
    assert caplog.text.count("TypeError: the function's answer has to be awaited") == 2


@pytest.mark.parametrize(
    ("parts", "url"),
    [
        (("https", "e.com", "/", ""), "https://e.com/"),
        (("http", "e.com:8000", "/a", "b=%20c"), "http://e.com:8000/a?b=%20c"),
        (("https", "e.com", "/a b/\u00e9?#", ""), "https://e.com/a%20b/%C3%A9%3F%23"),
        (("https", "e.com", "/@x;y=(1)", ""), "https://e.com/@x;y=(1)"),
        (("https", "e.com", "/\ud800", ""), "https://e.com/%3F"),
    ],
)
def test_a_url_is_built_as_a_browser_writes_it(parts: Any, url: str) -> None:
    assert absolute_url(*parts) == url


def test_pending_says_what_it_is() -> None:
    assert repr(PENDING) == "PENDING"


def test_a_client_makes_trackers(make_client: MakeClient) -> None:
    client = make_client()
    tracker = client.tracker(PlainRequest(cookie="__dl_visitor_id=anon_1"))
    assert tracker.client is client
    assert tracker.track("E")
    assert tracker.track("") is None
    client.flush()
    assert client.stats.delivered == 1
    assert client.stats.dropped == {"validation_error": 1}


def test_the_browser_sdks_script_tag() -> None:
    tag = '<script defer src="https://track.datalyr.com/dl.js" data-workspace-id="ws_1"'
    assert script_tag("ws_1") == f"{tag}></script>"
    assert script_tag("ws_1", nonce="n0") == f'{tag} nonce="n0"></script>'
    assert script_tag('"><x', nonce='"y') == (
        '<script defer src="https://track.datalyr.com/dl.js" '
        'data-workspace-id="&quot;&gt;&lt;x" nonce="&quot;y"></script>'
    )
    assert script_tag(None) == script_tag("") == script_tag("ws_1", allowed=False) == ""
