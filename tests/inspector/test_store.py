from __future__ import annotations

from typing import Any

import pytest

from datalyr_core.inspector import store as store_module
from datalyr_core.inspector.contract import Reading
from datalyr_core.inspector.store import REPEAT_WINDOW, Store

from .wire import body


class Clock:
    def __init__(self) -> None:
        self.now = 1_782_909_296.25

    def __call__(self) -> float:
        return self.now


def reading(*violations: str, **changes: Any) -> Reading:
    return Reading(200, body(**changes), violations, "dk_…42")


def numbers(store: Store) -> list[int]:
    return [entry.seq for entry in store.since(0)]


def test_an_entry_says_what_came_and_when() -> None:
    entry = Store(clock=Clock()).add_event(reading("wrong"))
    assert entry.kind == "event"
    assert entry.view == {
        "seq": 1,
        "received_at": "2026-07-01T12:34:56.250Z",
        "event": body(),
        "duplicate": False,
        "violations": ["wrong"],
        "key": "dk_…42",
    }


def test_an_attempt_says_who_and_what_without_the_event() -> None:
    store = Store(clock=Clock())
    entry = store.add_attempt(reading(userId="u" * 300, eventId=7), "503", fault=True)
    assert entry.kind == "attempt"
    assert entry.view == {
        "seq": 1,
        "received_at": "2026-07-01T12:34:56.250Z",
        "answer": "503",
        "fault": True,
        "event": "signed_up",
        "eventId": None,
        "anonymousId": "anon_1",
        "userId": "u" * 256,
        "violations": [],
        "key": "dk_…42",
    }


def test_the_newest_are_kept_by_number() -> None:
    store = Store(max_events=3)
    for _ in range(5):
        store.add_event(reading())
    assert numbers(store) == [3, 4, 5]
    assert store.counts.total == 5


def test_the_newest_are_kept_by_size() -> None:
    size = Store().add_event(reading()).size
    store = Store(max_bytes=3 * size)
    for _ in range(9):
        store.add_event(reading(eventId="as long"))
    assert numbers(store) == [7, 8, 9]


def test_since_lists_what_came_later() -> None:
    store = Store()
    for _ in range(4):
        store.add_event(reading())
    assert [entry.seq for entry in store.since(2)] == [3, 4]
    assert store.since(4) == []


def test_an_event_id_is_a_repeat_for_six_hours() -> None:
    clock = Clock()
    store = Store(clock=clock)
    assert not store.add_event(reading()).view["duplicate"]
    clock.now += REPEAT_WINDOW - 1
    assert store.add_event(reading()).view["duplicate"]
    clock.now += 1
    assert not store.add_event(reading()).view["duplicate"]
    assert store.counts.duplicates == 1


@pytest.mark.parametrize("event_id", ["", None, 7, "e" * 257])
def test_what_is_no_event_id_is_never_a_repeat(event_id: object) -> None:
    store = Store()
    store.add_event(reading(eventId=event_id))
    assert not store.add_event(reading(eventId=event_id)).view["duplicate"]


def test_an_attempt_does_not_make_its_event_a_repeat() -> None:
    store = Store()
    store.add_attempt(reading(), "503", fault=True)
    assert not store.add_event(reading()).view["duplicate"]


def test_remembered_ids_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "REMEMBERED_IDS", 2)
    store = Store()
    for event_id in ("a", "b", "c"):
        store.add_event(reading(eventId=event_id))
    assert store.add_event(reading(eventId="c")).view["duplicate"]
    assert not store.add_event(reading(eventId="a")).view["duplicate"]


def test_counts() -> None:
    store = Store()
    store.add_event(reading("one", "two"))
    store.add_event(reading())
    store.add_attempt(reading("its own mistake"), "400", fault=False)
    store.add_attempt(reading("not judged"), "503", fault=True)
    assert store.counters() == {
        "total": 2,
        "duplicates": 1,
        "violations": 2,
        "requests": 0,
        "faulted": 1,
    }


def test_a_clear_forgets_everything_but_goes_on_counting_up() -> None:
    store = Store()
    era = store.era
    store.add_event(reading("wrong"))
    store.clear()
    assert numbers(store) == []
    assert set(store.counters().values()) == {0}
    assert store.era != era
    entry = store.add_event(reading())
    assert (entry.seq, entry.view["duplicate"]) == (2, False)
