"""Nothing of ours raises into a view, whatever the application or a client does."""

from __future__ import annotations

from typing import Any

import pytest

from datalyr_core import Event
from tests.behaviour.conftest import MakeSite, Site


def failing(*args: Any) -> Any:
    raise RuntimeError("a hook that fails")


def test_before_send_that_raises(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(before_send=failing)
    assert site.get("/buy").status == 200
    assert len(site.events()) == 2
    assert "a hook that fails" in caplog.text


def test_on_drop_that_raises(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(on_drop=failing)
    assert site.get("/buy", {"Sec-GPC": "1"}).status == 200
    assert site.client.stats.dropped == {"consent": 2}
    assert "a hook that fails" in caplog.text


def test_user_callable_that_raises(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> None:
    site = make_site(user_id=failing)
    assert site.get("/buy", {"X-Session": "42"}).status == 200
    assert [event.user_id for event in site.events()] == [None, None]
    assert "a hook that fails" in caplog.text


@pytest.mark.parametrize("answer", [{"id": 1}, ["1"], True, 1.5, b"1"])
def test_user_callable_that_returns_no_id(make_site: MakeSite, answer: Any) -> None:
    site = make_site(user_id=lambda request: answer)
    assert site.get("/buy").status == 200
    assert [event.user_id for event in site.events()] == [None, None]


def test_user_callable_that_would_have_to_be_awaited(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(request: Any) -> str:
        return "42"

    site = make_site(user_id=lambda request: ask(request))
    assert site.get("/buy").status == 200
    assert [event.user_id for event in site.events()] == [None, None]
    assert "give a plain function" in caplog.text


def test_before_send_changes_and_drops(make_site: MakeSite) -> None:
    def only_purchases(event: Event) -> Event | None:
        event.properties["seen"] = True
        return event if event.event.startswith("Purchase") else None

    site = make_site(before_send=only_purchases)
    site.get("/buy")
    (event,) = site.events()
    assert event.properties["seen"] is True
    assert site.client.stats.dropped == {"before_send": 1}


@pytest.mark.parametrize("session", [{}, {"X-Session": "42"}])
def test_wrong_arguments(site: Site, session: dict[str, str]) -> None:
    answer = site.get("/nonsense", {"Cookie": "__dl_visitor_id=v", **session})
    assert (answer.status, answer.body) == (200, "done")
    events = site.events()
    assert {event.anonymous_id for event in events} == {"v"}
    assert sum(event.event == "odd" for event in events) >= 16
    assert site.client.stats.dropped["validation_error"] >= 20


def test_ingest_that_is_away(make_site: MakeSite) -> None:
    class Away:
        def send(self, body: bytes) -> Any:
            raise ConnectionError("the ingest is away")

    site = make_site(transport=Away(), retry_limit=0, exit_timeout=0)
    answer = site.get("/buy", {"Cookie": "__dl_visitor_id=v"})
    assert (answer.status, answer.body) == (200, "v")
    assert site.client.stats.accepted == 2
    assert site.client.close(0) is False
    assert site.client.stats.dropped == {"close_timeout": 2}


def test_tracking_after_close_is_a_counted_drop(site: Site) -> None:
    site.get("/silent")
    site.client.close()
    assert site.get("/buy").status == 200
    assert site.client.stats.dropped == {"closed": 2}


def test_view_that_raises_after_tracking(site: Site) -> None:
    answer = site.get("/raising?n=1", {"Cookie": "__dl_visitor_id=v", "X-Session": "42"})
    assert answer.status == 500
    told = [(event.event, event.anonymous_id, event.user_id) for event in site.events()]
    assert told == [("first", "v", "42"), ("second", "v", "42")]


def test_disabled_client_accepts_and_drops_in_silence(
    make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(enabled=False)
    assert site.get("/buy", {"Cookie": "__dl_visitor_id=v"}).body == "v"
    assert site.events() == []
    assert not [record for record in caplog.records if record.name.startswith("datalyr")]
