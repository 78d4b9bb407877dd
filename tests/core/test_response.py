from __future__ import annotations

import pytest

from datalyr_core.response import may_set_cookie

HTML = {"content-type": "text/html; charset=utf-8"}
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("status", "headers", "used", "expected"),
    [
        (200, HTML, False, True),
        (404, HTML, False, True),
        (302, {}, True, True),
        (200, {"content-type": " Text/HTML "}, False, True),
        (200, {"content-type": "application/xhtml+xml"}, False, True),
        (200, JSON, False, False),
        (200, {}, False, False),
        (200, JSON, True, True),
        (304, HTML, True, False),
        # Where a shared cache may keep it
        (200, {**HTML, "cache-control": "private"}, True, True),
        (200, {**HTML, "cache-control": "No-Store"}, True, True),
        (200, {**HTML, "cache-control": "max-age=0, private"}, True, True),
        (200, {**HTML, "cache-control": "public"}, True, False),
        (200, {**HTML, "cache-control": "max-age=60"}, True, False),
        (200, {**HTML, "cache-control": "s-maxage=60"}, True, False),
        (200, {**HTML, "cache-control": "no-cache"}, True, False),
        (200, {**HTML, "cache-control": "public, private"}, True, False),
        (200, {**HTML, "cache-control": ""}, True, False),
        (200, {**HTML, "expires": "Wed, 01 Jul 2026 12:00:00 GMT"}, True, False),
        (200, {**HTML, "surrogate-control": "max-age=60"}, True, False),
        (200, {**HTML, "cdn-cache-control": "max-age=60", "cache-control": "private"}, True, False),
        (200, {**HTML, "cloudflare-cdn-cache-control": "max-age=60"}, True, False),
    ],
)
def test_which_responses_may_set_the_visitor_cookie(
    status: int, headers: dict[str, str], used: bool, expected: bool
) -> None:
    assert may_set_cookie(status, headers.get, used=used) is expected
