"""Other products' clients, with their defaults, but for the address: a sink on this machine."""

from __future__ import annotations

import logging
from typing import Any

from benchmarks.programs.contestants import PROPERTIES, Contestant

NAME = "Purchase Completed"


def make(name: str, port: int) -> Contestant:
    """Make a contestant out of what is installed in this environment."""
    logging.disable(logging.WARNING)  # one of them tells of every batch
    made: Contestant = globals()[f"_{name}"](port)
    return made


def _segment(port: int) -> Contestant:
    from segment.analytics import Client

    client = Client("key", host=f"http://127.0.0.1:{port}", on_error=_fail)
    return Contestant(lambda: client.track("user_123", NAME, PROPERTIES), client.flush, client.join)


def _posthog(port: int) -> Contestant:
    from posthog import Posthog

    client = Posthog("phc_key", host=f"http://127.0.0.1:{port}", on_error=_fail)
    return Contestant(
        lambda: client.capture(NAME, distinct_id="user_123", properties=PROPERTIES),
        client.flush,
        client.shutdown,
    )


def _rudderstack(port: int) -> Contestant:
    from rudderstack.analytics.client import Client

    client = Client("key", host=f"http://127.0.0.1:{port}", on_error=_fail)
    return Contestant(lambda: client.track("user_123", NAME, PROPERTIES), client.flush, client.join)


def _snowplow(port: int) -> Contestant:
    from snowplow_tracker import AsyncEmitter, SelfDescribing, SelfDescribingJson, Tracker

    emitter = AsyncEmitter("127.0.0.1", protocol="http", port=port)
    tracker = Tracker("bench", emitter)
    schema = "iglu:com.example/purchase/jsonschema/1-0-0"

    def track() -> None:
        tracker.track(SelfDescribing(SelfDescribingJson(schema, dict(PROPERTIES))))

    return Contestant(track, lambda: tracker.flush(is_async=False))


def _sentry(port: int) -> Contestant:
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Nowhere(Transport):
        """Take everything at once: what Sentry sends is no event of this kind."""

        def capture_envelope(self, envelope: Any) -> None:
            pass

    sentry_sdk.init(dsn=f"http://key@127.0.0.1:{port}/1", transport=Nowhere)

    def track() -> None:
        sentry_sdk.capture_event({"message": NAME, "extra": dict(PROPERTIES)})

    return Contestant(track)


def _fail(error: Exception, *_: Any) -> None:
    logging.getLogger("benchmarks").error("not sent: %s", error)
