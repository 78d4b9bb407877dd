"""A web process: it tracks events, publishes them to the broker, and says what it accepted."""

from __future__ import annotations

import argparse
import json
import sys

from datalyr_core import Datalyr


def main() -> int:
    """Track the events and print what became of them; 0 if all were published."""
    parser = argparse.ArgumentParser()
    parser.add_argument("prefix")
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    dropped: list[str] = []
    client = Datalyr.from_env(
        max_queue_size=2000,
        close_timeout=120,
        on_drop=lambda events, reason: dropped.extend(f"{reason}" for _ in events),
    )
    accepted = 0
    with client.backpressure():
        for number in range(options.count):
            event_id = f"{options.prefix}-{number}"
            accepted += client.track("user", "Tracked", event_id=event_id) == event_id
    clean = client.close()
    json.dump({"accepted": accepted, "clean": clean, "dropped": dropped[:5]}, sys.stdout)
    return 0 if clean and not dropped else 1


if __name__ == "__main__":
    sys.exit(main())
