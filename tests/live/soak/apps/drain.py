"""A program that delivers what others left in a durable outbox."""

from __future__ import annotations

import sys

from datalyr_core import Datalyr
from tests.live.soak.apps import views

SECONDS = 100.0


def main() -> int:
    with Datalyr.from_env(**views.HOOKS) as client:
        return 0 if client.drain(SECONDS) else 1


if __name__ == "__main__":
    sys.exit(main())
