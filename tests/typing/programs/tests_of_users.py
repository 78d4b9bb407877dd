import unittest
from typing import assert_type

from datalyr_core import Event
from datalyr_core.testing import (
    DatalyrTestMixin,
    RecordedEvents,
    assert_not_tracked,
    assert_tracked,
    recorded_events,
    recording_client,
)


def test_it(datalyr_events: RecordedEvents) -> None:
    assert_type(datalyr_events.assert_tracked("Bought", user_id=7, price=9), Event)
    assert_type(datalyr_events[0], Event)
    assert_type(assert_tracked("Bought", count=1), Event)
    assert_not_tracked(datalyr_events[0], properties={"price": 9})
    assert_tracked(7)  # wrong: a name or an event
    assert_tracked("Bought", count="once")  # wrong: a number
    assert_tracked("Bought").user_id.upper()  # wrong: there may be no user
    datalyr_events.assert_trackt("Bought")  # wrong: no such assertion


class Tests(DatalyrTestMixin, unittest.TestCase):
    def test_it(self) -> None:
        assert_type(self.datalyr_events, RecordedEvents)
        self.assertTracked("Bought", price=9).properties.clear()
        self.assertNotTracked(None)  # wrong: a name or an event


with recorded_events() as events, recording_client(flush_at=1) as client:
    assert_type(events, RecordedEvents)
    assert_type(client.events, RecordedEvents)
    client.events = []  # wrong: what was recorded
