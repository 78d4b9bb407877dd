"""A relay: `datalyr relay`, with its process in the ledger."""

from __future__ import annotations

import sys

from datalyr_core.cli import main
from tests.live.soak import ledger

# Seconds after which Redis hands out again what a killed relay held.
VISIBILITY = "10"

if __name__ == "__main__":
    ledger.began()
    sys.exit(main(["relay", "--visibility-timeout", VISIBILITY]))
