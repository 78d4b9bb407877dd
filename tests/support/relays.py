"""Relays in processes of their own, and what is in the queues that they take from."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

from datalyr_core.broker import message as wire
from datalyr_core.broker.intake import Source, body_of, opened
from datalyr_core.event import Event, clean_timestamp
from tests.support.waiting import eventually

PATIENCE = 2  # seconds that a relay has for its end


def event(name: str) -> bytes:
    """Make an event's body, as a web process does."""
    made = Event(name, anonymous_id="anon_1", event_id=name, timestamp=clean_timestamp(None))
    return made.to_body()


def publish(source: Source, *names: str, size: int = 1) -> None:
    """Publish events, some in a message."""
    bodies = list(map(event, names))
    messages = [bodies[start : start + size] for start in range(0, len(bodies), size)]
    publish_raw(source, ((wire.pack(each), wire.headers(len(each))) for each in messages))


def publish_raw(source: Source, messages: Iterable[tuple[bytes, dict[str, Any]]]) -> None:
    """Publish messages, whatever is in them."""
    with opened(source) as intake:
        for body, headers in messages:
            intake.publish(source.queue, body, headers)


def dead_letters(source: Source) -> list[tuple[bytes, dict[str, Any]]]:
    """Return body and headers of every dead letter, and leave them there."""
    found = []
    with opened(source) as intake:
        while (message := intake.fetch()) is not None:
            found.append((body_of(message), dict(message.headers)))
    return found


class RelayProcess:
    """A `datalyr relay`."""

    def __init__(self, source: Source, host: str, folder: Path, *options: str, **env: str) -> None:
        """Start it."""
        self._log = folder / f"relay-{uuid4().hex}.log"
        command = [sys.executable, "-m", "datalyr_core", "relay", "--status-port", "0", *options]
        variables = {
            "api_key": "dk_test",
            "host": host,
            "broker": source.url,
            "broker_queue": source.queue,
            **env,
        }
        given = {f"DATALYR_{name.upper()}": value for name, value in variables.items()}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env={**os.environ, **given}, stderr=log)
        try:
            found = eventually(self._address, 40)
            assert found, self.log
        except BaseException:  # interrupted, perhaps: nobody has it yet who would end it
            self.kill()
            raise
        self.url = found[1]

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text()

    def get(self, page: str) -> tuple[int, bytes]:
        """Get a page of the status port."""
        try:
            with urlopen(f"{self.url}{page}", timeout=20) as response:
                return response.status, response.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    @property
    def status(self) -> dict[str, Any]:
        """What it counts."""
        found: dict[str, Any] = json.loads(self.get("/status")[1])
        return found

    @property
    def problems(self) -> list[str]:
        """Why it is not well."""
        found: list[str] = json.loads(self.get("/health")[1])["problems"]
        return found

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end."""
        self._process.send_signal(number)

    def wait(self, timeout: float = 60) -> int:
        """Return the exit status."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._process.kill()
        self._process.wait(30)

    def __enter__(self) -> Self:
        """Return the relay."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs: in good order, else at once, else as a crash does."""
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(PATIENCE)

    def _address(self) -> re.Match[str] | None:
        assert self._process.poll() is None, self.log
        return re.search(r"status: (http://\S+)/status", self.log)


@contextmanager
def relay(
    source: Source, host: str, folder: Path, *options: str, **env: str
) -> Iterator[RelayProcess]:
    """Run a relay for the length of a block, and wait until it is connected."""
    with RelayProcess(source, host, folder, *options, **env) as process:
        assert eventually(lambda: process.status["connected"], 40), process.log
        yield process
