"""`datalyr send` against the inspector, which knows the contract."""

from __future__ import annotations

import httpx
import pytest

from datalyr_core.cli import main
from datalyr_core.inspector.server import RunningInspector


def test_what_send_sends_breaks_no_rule_and_counts_once(
    inspector: RunningInspector,
    http: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATALYR_API_KEY", "dk_secret")
    command = ["send", "Purchase Completed", "--user-id", "user_1", "--event-id", "order-1"]
    command += ["--property", "amount=99.99", "--host", inspector.track_url]

    assert [main(command), main(command)] == [0, 0]

    seen = http.get("/api/events").json()
    assert (seen["total"], seen["duplicates"], seen["violations"]) == (2, 1, 0)
    out = capsys.readouterr().out
    assert out.count("order-1\n") == 2
    assert '"duplicate":true' in out.splitlines()[-1]
