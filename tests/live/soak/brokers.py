"""The brokers of a soak, which can be restarted, and what waits in their queues."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from datalyr_core import Config

QUEUE = "datalyr.events"


def missing(kind: str) -> list[str]:
    """Name what a kind of broker needs and this machine lacks."""
    if "broker" not in Config.NAMES:
        return ["the option broker"]
    # Of a module that is imported `find_spec` may not know: kombu replaces its own.
    wanted = (name for name in ("kombu", "redis") if name not in sys.modules)
    if lacking := [name for name in wanted if find_spec(name) is None]:
        return lacking
    found = _redis().redis_command() if kind == "redis" else _rabbitmq().rabbitmq_command()
    return [] if found else [f"{kind}-server"]


def make(kind: str, folder: Path) -> Any:
    """Make a server of a kind, which keeps what it has over a restart; it is not started yet."""
    folder.mkdir()
    if kind == "redis":
        return _redis().RedisServer(folder, durable=True)
    return _rabbitmq().RabbitMQ(folder)


def dead_letters(url: str) -> Iterator[str]:
    """Return the tokens of events that the ingest refused, and leave them where they are."""
    message, intake_module = _part("message"), _part("intake")
    with _opened(url) as intake:
        while (taken := intake.fetch()) is not None:
            for body in message.unpack(intake_module.body_of(taken)):
                yield str(json.loads(body)["properties"]["token"])


def left(url: str) -> int:
    """Return how many messages nobody has taken."""
    with _opened(url) as intake:
        return int(intake.count())


def _opened(url: str) -> Any:
    intake = _part("intake")
    return intake.opened(intake.Source(url=url, queue=QUEUE))


# Imported when they are needed: they ask for packages that a machine may lack.


def _part(name: str) -> Any:
    return import_module(f"datalyr_core.broker.{name}")


def _redis() -> Any:
    return import_module("tests.support.redis")


def _rabbitmq() -> Any:
    return import_module("tests.support.rabbitmq")
