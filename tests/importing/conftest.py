from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from datalyr_core.cli import main
from tests.support.ingest import OK, Answer, IngestServer, Received
from tests.support.waiting import eventually

# A shell that runs tests in the background has Ctrl+C ignored, and children inherit that.
_COVERAGE = "COVERAGE"  # what is killed must not leave half a file of it
_CHILD = """
import signal, sys
signal.signal(signal.SIGINT, {action})
from datalyr_core.cli import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def environment(ingest: IngestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALYR_API_KEY", "dk_test")
    monkeypatch.setenv("DATALYR_HOST", ingest.url)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Run `datalyr import` in this process."""

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        code = main(["import", *map(str, arguments)])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of events `Event 1` … with ids of their own."""

    def write(count: int, name: str = "events.jsonl") -> Path:
        path = tmp_path / name
        rows = ({"event": f"Event {each}", "event_id": f"id {each}"} for each in _numbers(count))
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return path

    return write


def _numbers(count: int) -> range:
    return range(1, count + 1)


def ids(count: int) -> set[str]:
    return {f"id {each}" for each in _numbers(count)}


def arrived(ingest: IngestServer) -> Counter[str]:
    """Count the events that the ingest has taken, by id."""
    return Counter(body["eventId"] for body in ingest.accepted)


class Held:
    """An ingest that answers some requests, and keeps the others until it is told."""

    def __init__(self, ingest: IngestServer, free: int) -> None:
        self._ingest = ingest
        self._free = threading.Semaphore(free)
        self.opened = threading.Event()

    def __call__(self, request: Received) -> Answer:
        if not self._free.acquire(blocking=False):
            self.opened.wait(60)
        return OK

    @property
    def is_full(self) -> bool:
        """Whether every connection waits for an answer."""
        return self._ingest.in_flight == IN_FLIGHT


IN_FLIGHT = 10  # the client's `concurrency`


@pytest.fixture
def hold(ingest: IngestServer) -> Iterator[Callable[[int], Held]]:
    held: list[Held] = []

    def hold(free: int) -> Held:
        ingest.answer = each = Held(ingest, free)
        held.append(each)
        return each

    yield hold
    for each in held:
        each.opened.set()


class Child:
    """A `datalyr import` in a process of its own, whose words can be waited for."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        streams: list[tuple[IO[str] | None, list[str]]] = [
            (process.stdout, self.out),
            (process.stderr, self.err),
        ]
        self._threads = [
            threading.Thread(target=_collect, args=each, daemon=True) for each in streams
        ]
        for thread in self._threads:
            thread.start()

    def says(self, words: str) -> bool:
        return bool(eventually(lambda: words in "".join(self.err), 30))

    def end(self) -> Ended:
        code = self.process.wait(40)
        for thread in self._threads:
            thread.join(30)
        return Ended(code, "".join(self.out), "".join(self.err))


def _collect(stream: IO[str], into: list[str]) -> None:
    into.extend(iter(stream.readline, ""))


@pytest.fixture
def start() -> Callable[..., Any]:
    """Start `datalyr import` in a process of its own."""

    @contextmanager
    def start(
        *arguments: object, sigint: str = "signal.default_int_handler", measured: bool = True
    ) -> Iterator[Child]:
        command = [sys.executable, "-c", _CHILD.format(action=sigint), "import"]
        with subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                name: os.environ[name] for name in os.environ if measured or _COVERAGE not in name
            },
        ) as process:
            try:
                yield Child(process)
            finally:
                if process.poll() is None:
                    process.kill()
                with suppress(BrokenPipeError):
                    process.stdin.close()

    return start
