from __future__ import annotations

import pytest

from datalyr_core.consent import tracking_allowed
from tests.support.web import PlainRequest

DEFAULTS = {"opt_out": True, "gpc": True, "dnt": False}


@pytest.mark.parametrize(
    ("headers", "rules", "allowed"),
    [
        ({}, {}, True),
        ({"cookie": "__dl_opt_out=true"}, {}, False),
        ({"cookie": "a=b; __dl_opt_out=true; c=d"}, {}, False),
        ({"cookie": "__dl_opt_out=%74rue"}, {}, False),
        ({"cookie": "__dl_opt_out=false"}, {}, True),
        ({"cookie": "__dl_opt_out=TRUE"}, {}, True),
        ({"cookie": "x__dl_opt_out=true"}, {}, True),
        ({"cookie": "__dl_opt_out=false; __dl_opt_out=true"}, {}, True),
        ({"cookie": "__dl_opt_out=true"}, {"opt_out": False}, True),
        ({"sec-gpc": "1"}, {}, False),
        ({"sec-gpc": " 1 "}, {}, False),
        ({"sec-gpc": "0"}, {}, True),
        ({"sec-gpc": "true"}, {}, True),
        ({"sec-gpc": "1"}, {"gpc": False}, True),
        ({"dnt": "1"}, {}, True),
        ({"dnt": "1"}, {"dnt": True}, False),
        ({"dnt": "0"}, {"dnt": True}, True),
    ],
)
def test_consent(headers: dict[str, str], rules: dict[str, bool], allowed: bool) -> None:
    assert tracking_allowed(PlainRequest(headers=headers), **{**DEFAULTS, **rules}) is allowed
