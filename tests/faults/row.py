"""One row, in a process of its own: `python -m tests.faults.row NAME` writes it as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass

from datalyr_core import Config, Datalyr, Reply, TransportError
from datalyr_core.delivery.http import HttpTransport
from tests.faults.catalogue import FAULTS
from tests.faults.fault import EVENTS, Fault, Measured
from tests.faults.hour import HOUR, WELL, Answered, Ingest, simulate, spread
from tests.faults.site import Site, pause
from tests.faults.watching import LogLines, Watched
from tests.support.waiting import eventually

BATCH = 5  # events at a time, with a pause after them
PROBES = 2  # sends that have to fail once the ingest counts as down, before it is mended
PATIENCE = 60.0  # seconds; generous, for a machine that has other things to do
DOWN_FROM = 60.0  # where an hour begins: the ingest was well before


def main() -> int:
    """Run the row that is named, and write what came out."""
    print(json.dumps(asdict(measure(FAULTS[sys.argv[1]]))))
    return 0


@dataclass
class _Row:
    fault: Fault
    site: Site
    client: Datalyr
    watched: Watched
    found: Measured
    before: int = 0  # events that were delivered before the fault

    def track(self, lasts: float) -> tuple[list[str], list[int]]:
        """Track events at an even pace; return their ids and what each took, in ns."""
        ids, times = [], []
        for number in range(EVENTS):
            begun = time.perf_counter_ns()
            event_id = self.client.track("user_1", "Signed Up", {"plan": "pro"})
            times.append(time.perf_counter_ns() - begun)
            ids.append(event_id or "")
            if number % BATCH == BATCH - 1:
                self.found.held = max(self.found.held, self.client.stats.waiting)
                pause(lasts * BATCH / EVENTS)
        return ids, times

    def suffer(self) -> list[str]:
        """Track while the ingest is broken; return the events' ids."""
        found, watched, requests = self.found, self.watched, len(self.site.ingest.requests)
        watched.forget()
        self.before = self.client.stats.delivered
        begun = time.monotonic()
        ids, times = self.track(self.fault.lasts)
        if self.fault.goal.down:
            eventually(lambda: self.client.stats.retried and not watched.in_flight, PATIENCE)
            failed, watched.most = watched.failed, 0
            eventually(lambda: watched.failed >= failed + PROBES, PATIENCE)
            found.at_once = watched.most
        else:
            self.client.flush(4)
        found.tracked, found.fault_us = len(ids), _percentiles(times)
        found.sends, found.seconds = watched.sends, time.monotonic() - begun
        found.requests = len(self.site.ingest.requests) - requests
        found.answer = _shown(watched.answer)
        return ids

    def settle(self, ids: list[str]) -> None:
        """Count what became of the events, once the ingest is well again."""
        found = self.found
        self.client.flush(PATIENCE)
        came = Counter(self.site.arrived)
        found.arrived = sum(came[each] > 0 for each in ids)
        found.again = sum(max(came[each] - 1, 0) for each in ids)
        found.delivered = self.client.stats.delivered - self.before
        found.dropped, found.waiting = dict(self.client.stats.dropped), self.client.stats.waiting


def measure(fault: Fault) -> Measured:
    """Let an ingest be well, break, and be well again; then let an hour of that pass."""
    found = Measured(fault.name)
    with fault.site() as site:
        config = Config(api_key="dk_test", host=site.host, timeout=fault.timeout)
        transport = HttpTransport(config)
        watched = Watched(transport)
        with Datalyr(config, transport=watched) as client, LogLines() as log:
            row = _Row(fault, site, client, watched, found)
            if not fault.from_start:
                row.track(0.0)
                client.flush(PATIENCE)
            with fault.broken(site):
                ids = row.suffer()
                hour = fault.hour or _as_here(fault, watched.answer, watched.took)
            row.settle(ids)
            found.lines = list(log.lines)
            found.well_us = _percentiles(row.track(0.8)[1])
            client.flush(PATIENCE)
        transport.close()
    _let_an_hour_pass(hour, found)
    return found


def _let_an_hour_pass(hour: Ingest, found: Measured) -> None:
    def ingest(now: float) -> Answered:
        return hour(now) if DOWN_FROM <= now < DOWN_FROM + HOUR else WELL

    moments = [0.0, *spread(1800, DOWN_FROM, DOWN_FROM + HOUR)]
    passed = simulate(ingest, moments=moments, until=DOWN_FROM + HOUR + 600, memory=True)
    found.per_minute = len(passed.between(DOWN_FROM, DOWN_FROM + HOUR)) / 60
    found.busiest = passed.busiest(DOWN_FROM, DOWN_FROM + HOUR)
    found.peak, found.hour_held = passed.peak, passed.held


def _as_here(fault: Fault, answer: Reply | TransportError, took: float) -> Ingest:
    default = Config(api_key="dk_test").timeout
    seconds = default if took >= 0.9 * fault.timeout else took
    return lambda now: (answer, seconds)


def _shown(answer: Reply | TransportError) -> str:
    return f"HTTP {answer.status}" if isinstance(answer, Reply) else str(answer)


def _percentiles(times: list[int]) -> tuple[float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2] / 1e3, ordered[len(ordered) * 99 // 100] / 1e3


if __name__ == "__main__":
    sys.exit(main())
