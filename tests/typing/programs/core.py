from datetime import datetime
from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

from datalyr_core import (
    Config,
    Datalyr,
    DropReason,
    Event,
    Reply,
    Stats,
    Tracker,
    Transport,
    current_tracker,
)


class Mine:
    def send(self, body: bytes) -> Reply:
        return Reply(202, {"X-Mine": "yes"}, "taken")


class NoTransport:
    def send(self, body: str) -> Reply:
        return Reply(202)


def before_send(event: Event) -> Event | None:
    event.properties["seen"] = True
    return None if event.user_id is None else event


def use(client: Datalyr, user: UUID) -> None:
    assert_type(client.track(user, "Signed Up", {"plan": "pro"}), str | None)
    client.track(event="Bought", user_id=7, timestamp=datetime.now().astimezone(), event_id="e")
    client.identify("u", {"email": "a@b.c"}, anonymous_id="anon_1")
    client.page("u", "Pricing")
    client.alias("new", "old")
    client.group("u", "company", {"name": "Acme"})
    client.track_purchase("u", Decimal("49.99"), "eur", {"order": "A1"})
    assert_type(client.flush(timeout=1), bool)
    assert_type(client.stats, Stats)
    print(client.stats.dropped[DropReason.CONSENT])

    client.track("u", 7)  # wrong: a name is a string
    client.track("u", "E", ["plan"])  # wrong: properties are a mapping
    client.track("u", "E", plan="pro")  # wrong: no such argument
    client.trakc("u", "E")  # wrong: no such call
    client.flush("soon")  # wrong: seconds
    client.stats.delivered = 3  # wrong: a snapshot
    taken: bool = client.track("u", "E")  # wrong: the event id, or None
    print(taken)


async def use_async(client: Datalyr) -> None:
    assert_type(await client.aflush(1.5), bool)
    async with client as same:
        assert_type(same, Datalyr)
    client.aclose().upper()  # wrong: it is awaited


def make_from(options: dict[str, Any], environment: dict[str, str]) -> Datalyr:
    print(Config.from_env(environment), Config.from_mapping(options))
    return Datalyr("dk_…", **options) if options else Datalyr(**options)


def make() -> Datalyr:
    transport: Transport = Mine()
    other: Transport = NoTransport()  # wrong: bodies are bytes
    print(other)
    Datalyr(42)  # wrong: no key
    Datalyr("dk_…", flush_every=5)  # wrong: no such option
    Datalyr("dk_…", flush_at="often")  # wrong: a number
    Datalyr("dk_…", before_send=str)  # wrong: it returns the event, or None
    Datalyr.from_env(transport=NoTransport())  # wrong: bodies are bytes
    Config("dk_…")  # wrong: by name only
    with Datalyr.from_env(transport=transport, before_send=before_send) as client:
        assert_type(client, Datalyr)
    return Datalyr(Config(api_key="dk_…", flush_at=50))


def below_a_view() -> None:
    tracker = current_tracker()
    assert_type(tracker, Tracker | None)
    if tracker is not None:
        tracker.track("E")
    tracker.track("E")  # wrong: there may be none
