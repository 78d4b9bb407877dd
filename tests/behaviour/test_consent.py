"""Who may not be tracked, the same in every framework."""

from __future__ import annotations

import pytest

from tests.behaviour.conftest import MakeSite, Site

SIGNALS = {
    "opt-out": {"Cookie": "__dl_visitor_id=v; __dl_opt_out=true"},
    "gpc": {"Sec-GPC": "1"},
    "dnt": {"DNT": "1"},
}
OPT_OUT, GPC, DNT = SIGNALS.values()


def test_opt_out_and_gpc_are_respected(make_site: MakeSite) -> None:
    site = make_site(set_visitor_cookie=True)
    for headers in (OPT_OUT, GPC):
        answer = site.get("/buy", headers)
        assert answer.status == 200
        assert answer.body == "None"  # no id is minted
        assert not answer.all("set-cookie")
    assert site.events() == []
    assert site.client.stats.dropped == {"consent": 4}


def test_dnt_is_respected_if_configured(make_site: MakeSite) -> None:
    site = make_site(respect_dnt=True)
    site.get("/buy", DNT)
    assert site.events() == []


@pytest.mark.parametrize(
    "headers",
    [
        DNT,
        {"Sec-GPC": "0"},
        {"Sec-GPC": "true"},
        {"Cookie": "__dl_opt_out=false"},
        {"Cookie": "__dl_opt_out=false; __dl_opt_out=true"},  # the first one counts
        {"Cookie": "x__dl_opt_out=true"},
    ],
)
def test_everybody_else_is_tracked(site: Site, headers: dict[str, str]) -> None:
    site.get("/buy", headers)
    assert len(site.events()) == 2


def test_an_application_may_decide_otherwise(make_site: MakeSite) -> None:
    site = make_site(respect_opt_out=False, respect_gpc=False)
    site.get("/buy", {**OPT_OUT, **GPC})
    assert [event.anonymous_id for event in site.events()] == ["v", "v"]


def test_nothing_waits_for_somebody_who_opted_out(site: Site) -> None:
    """Neither a user who is looked up nor one who is identified changes it."""
    site.get("/sign_up?user=7", {**OPT_OUT, "X-Session": "42"})
    assert site.events() == []


def test_the_client_itself_is_the_applications_own_decision(site: Site) -> None:
    answer = site.get("/outside", OPT_OUT)
    (event,) = site.events()
    assert answer.body == "False"
    assert (event.event, event.user_id) == ("Invoice Paid", "user_1")
    assert event.anonymous_id != "v"
