"""Whether the broker is there, and lets this process publish."""

from __future__ import annotations

import time

from datalyr_core.config import Config
from datalyr_core.doctor.bounded import bounded
from datalyr_core.doctor.findings import Finding, error, ok
from datalyr_core.errors import Unavailable, without_credentials

_BELT = 5.0  # seconds more, for what a time-out does not reach


def check_broker(config: Config, timeout: float) -> Finding:
    """Connect to the broker, as a sender does."""
    from datalyr_core.delivery.broker import BrokerTransport  # needs the extra `broker`

    name = without_credentials(config.broker or "")
    begun = time.monotonic()

    def connect() -> None:
        transport = BrokerTransport(config)
        transport.deadline = begun + timeout
        transport.try_out()

    try:
        bounded(connect, timeout + _BELT)
    except Exception as problem:
        seen = f"{name} takes no events: {str(problem) or type(problem).__name__}"
        remedy = problem.remedy if isinstance(problem, Unavailable) else ""
        todo = remedy or "check that it runs, its address in broker, and the firewalls between"
        return error("broker", seen, f"{todo[0].upper()}{todo[1:]}.")
    took = (time.monotonic() - begun) * 1000
    return ok("broker", f"{name} answers in {took:.0f} ms; its queue is {config.broker_queue}")
