"""The programs of docs/operating.md, each run as it stands there."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.ingest import IngestServer
from tests.support.scripts import Scripts
from tests.support.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"


def program(heading: str) -> str:
    """Return the Python program below a heading."""
    _, _, below = PAGE.read_text().partition(f"\n## {heading}\n")
    found = re.search(r"```python\n(.*?)```", below, re.DOTALL)
    assert found, f"no program below {heading}"
    return found[1]


def points(exported: dict[str, Any]) -> dict[str, Any]:
    """Return the value of each metric that an export holds, or its values by reason."""
    (resource,) = exported["resource_metrics"]
    (scope,) = resource["scope_metrics"]
    assert scope["scope"]["name"] == "datalyr"
    values: dict[str, Any] = {}
    for metric in scope["metrics"]:
        for point in metric["data"]["data_points"]:
            if reason := point["attributes"].get("reason"):
                values.setdefault(metric["name"], {})[reason] = point["value"]
            else:
                values[metric["name"]] = point["value"]
    return values


def test_opentelemetry_exports_the_counts(scripts: Scripts, ingest: IngestServer) -> None:
    pytest.importorskip("opentelemetry.sdk")

    ended = scripts.run(program("OpenTelemetry"))

    assert ended.code == 0, ended.err
    assert points(json.loads(ended.out)) == {
        "datalyr.events.accepted": 1,
        "datalyr.events.delivered": 1,
        "datalyr.events.retried": 0,
        "datalyr.events.waiting": 0,
        "datalyr.events.dropped": {"validation_error": 1},
    }
    assert ingest.names == ["Signed Up"]


def test_prometheus_scrapes_the_counts(
    scripts: Scripts, ingest: IngestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("prometheus_client")
    monkeypatch.setenv("METRICS_PORT", "0")
    wanted = {
        "datalyr_events_accepted_total 1.0",
        "datalyr_events_delivered_total 1.0",
        "datalyr_events_retried_total 0.0",
        "datalyr_events_waiting 0.0",
        'datalyr_events_dropped_total{reason="validation_error"} 1.0',
    }

    with scripts.started(program("Prometheus")) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, process.communicate()[1]
        assert eventually(lambda: scrape(url) == wanted, 30), scrape(url)
        process.terminate()
        process.communicate(timeout=30)
    assert ingest.names == ["Signed Up"]


def scrape(url: str) -> set[str]:
    with urllib.request.urlopen(url, timeout=20) as response:
        lines = response.read().decode().splitlines()
    return {line for line in lines if line.startswith("datalyr_")}
