"""One run: producers, two relays, and what is killed on the way."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from datalyr_core.broker.intake import Source, opened
from tests.live.broker.counting import CountingIngest
from tests.support.rabbitmq import RabbitMQ
from tests.support.redis import RedisServer
from tests.support.relays import RelayProcess
from tests.support.waiting import eventually

PRODUCERS = 4
# What a killed relay held comes back to Redis after that: soon, so that the run is short.
VISIBILITY = 20  # seconds


class Server(Protocol):
    """A broker that can be killed."""

    url: str

    def start(self) -> None: ...
    def kill(self) -> None: ...


@dataclass
class Plan:
    """What to do."""

    broker: str  # redis or rabbitmq
    events: int
    seed: int
    folder: Path
    say: Callable[[str], Any] = lambda line: None


@dataclass
class Outcome:
    """What came of it."""

    accepted: int = 0
    arrived: int = 0  # different ids
    duplicated: int = 0  # further arrivals of an id
    missing: int = 0
    dead: int = 0
    left: int = 0  # messages in the queue at the end
    seconds: float = 0.0
    trouble: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing is missing, and everybody ended as they should."""
        return not (self.missing or self.dead or self.left or self.trouble) and self.accepted > 0


def play(plan: Plan) -> Outcome:
    """Play a plan."""
    chance = random.Random(plan.seed)
    outcome = Outcome()
    begun = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(_broker(plan))
        ingest = stack.enter_context(CountingIngest())
        source = Source(server.url, "run.events", visibility_timeout=VISIBILITY)
        relays = [_relay(plan, source, ingest, stack) for _ in range(2)]
        producers = [_producer(plan, source, number, stack) for number in range(PRODUCERS)]

        _until(plan, ingest, chance.uniform(0.15, 0.35))
        victim = chance.randrange(2)
        relays[victim].kill()
        plan.say(f"{len(ingest.arrived):,} arrived: relay {victim + 1} is killed with -9")
        relays[victim] = _relay(plan, source, ingest, stack)
        plan.say("…and there is a new one")

        _until(plan, ingest, chance.uniform(0.5, 0.7))
        server.kill()
        plan.say(f"{len(ingest.arrived):,} arrived: the broker is killed with -9")
        server.start()
        plan.say("…and is there again")

        for producer in producers:
            told = json.loads(producer.communicate(timeout=600)[0])
            outcome.accepted += told["accepted"]
            if producer.returncode:
                outcome.trouble.append(f"a producer says {told}")
        plan.say(f"{outcome.accepted:,} were accepted, {len(ingest.arrived):,} have arrived")
        _conclude(outcome, ingest, relays, source)
    outcome.seconds = time.monotonic() - begun
    return outcome


def _conclude(
    outcome: Outcome, ingest: CountingIngest, relays: list[RelayProcess], source: Source
) -> None:
    eventually(lambda: len(ingest.arrived) >= outcome.accepted, 120)
    eventually(lambda: not any(relay.status["held_messages"] for relay in relays), 60)
    for relay in relays:
        relay.terminate()
    ends = [relay.wait() for relay in relays]
    if any(ends):
        outcome.trouble.append(f"the relays' exit statuses are {ends}")
    outcome.arrived = len(ingest.arrived)
    outcome.duplicated = ingest.arrived.total() - outcome.arrived
    outcome.missing = outcome.accepted - outcome.arrived
    with opened(source) as intake:
        outcome.dead = intake.count_dead()
        outcome.left = intake.count()


@contextmanager
def _broker(plan: Plan) -> Iterator[Server]:
    folder = plan.folder / plan.broker
    folder.mkdir()
    if plan.broker == "redis":
        redis = RedisServer(folder, durable=True)
        try:
            redis.start()
            yield redis
        finally:
            redis.kill()
        return
    rabbitmq = RabbitMQ(folder)
    try:
        rabbitmq.start()
        yield rabbitmq
    finally:
        rabbitmq.close()


def _relay(plan: Plan, source: Source, ingest: CountingIngest, stack: ExitStack) -> RelayProcess:
    relay = RelayProcess(
        source, ingest.url, plan.folder, "--visibility-timeout", str(VISIBILITY), timeout="5"
    )
    stack.callback(relay.kill)
    return relay


def _producer(plan: Plan, source: Source, number: int, stack: ExitStack) -> subprocess.Popen[str]:
    variables = {
        "DATALYR_API_KEY": "dk_test",
        "DATALYR_BROKER": source.url,
        "DATALYR_BROKER_QUEUE": source.queue,
    }
    count = plan.events // PRODUCERS + (number < plan.events % PRODUCERS)
    command = [sys.executable, "-m", "tests.live.broker.producer", f"{plan.seed}-{number}"]
    with (plan.folder / f"producer-{number}.log").open("wb") as log:
        producer = subprocess.Popen(
            [*command, str(count)],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    stack.callback(_kill, producer)
    return producer


def _kill(producer: subprocess.Popen[str]) -> None:
    producer.kill()
    producer.wait(30)


def _until(plan: Plan, ingest: CountingIngest, share: float) -> None:
    """Wait until a share of the events has arrived."""
    assert eventually(lambda: len(ingest.arrived) >= plan.events * share, 600), (
        ingest.arrived.total()
    )
