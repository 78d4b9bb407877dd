"""Visitors, each with a cookie and perhaps a user id, who ask the servers all the time."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlencode

from tests.live.soak.apps import USER_HEADER

THREADS = 8
KEPT = 25  # requests on one connection; new ones also reach other workers
PATIENCE = 60  # seconds for an answer
PATHS = ("/track", "/several", "/stream")
EVENTS = (1, 3, 3)  # that each of them tracks
WEIGHTS = (6, 2, 1)
A_REQUEST = sum(map(int.__mul__, EVENTS, WEIGHTS)) / sum(WEIGHTS)  # events, on average


class Visitor(NamedTuple):
    """Somebody with a browser."""

    visitor: str = ""
    user: str = ""
    opted_out: bool = False

    @property
    def headers(self) -> dict[str, str]:
        cookies = {"__dl_visitor_id": self.visitor, "__dl_opt_out": self.opted_out and "true"}
        sent = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items() if value),
            USER_HEADER: self.user,
        }
        return {name: value for name, value in sent.items() if value}


def crowd(chance: random.Random, size: int = 200) -> list[Visitor]:
    """Make visitors of each kind: logged in, known by the cookie, opted out, new each time."""
    ids = (f"anon_{chance.getrandbits(128):032x}" for _ in itertools.count())
    logged_in = [Visitor(next(ids), f"user_{number}") for number in range(size * 6 // 10)]
    known = [Visitor(next(ids)) for _ in range(size * 3 // 10)]
    opted_out = [Visitor(next(ids), opted_out=True) for _ in range(size // 20)]
    return [*logged_in, *known, *opted_out, *[Visitor()] * (size // 20)]


class Visitors:
    """Ask servers at some rate, over restarts of their workers.

    Attributes:
        rate: Events a second that are aimed at.
        promised: Tokens of events that an answer told of.
        broken: Answers of an application that failed.
    """

    def __init__(self, seed: int, ports: Mapping[str, int], shares: Sequence[int]) -> None:
        self.rate = 0.0
        self.promised: set[str] = set()
        self.broken: list[str] = []
        self._seed, self._ports, self._shares = seed, ports, shares
        self._crowd = crowd(random.Random(f"crowd {seed}"))
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._always, args=(number,), name=f"soak-visitor-{number}")
            for number in range(THREADS)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop, and wait for the last answers."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def some(self, chance: random.Random) -> Visitor:
        """Choose a visitor who is known and logged in."""
        return chance.choice([each for each in self._crowd if each.user])

    def ask(self, server: str, path: str, who: Visitor, token: str, **more: object) -> str | None:
        """Ask once, on a connection of its own; None if there is no good answer."""
        connection = self._connection(server)
        try:
            return self._answer(connection, path, who, token, **more)
        finally:
            connection.close()

    def _always(self, thread: int) -> None:
        chance = random.Random(f"visits {self._seed} {thread}")
        connections: dict[str, http.client.HTTPConnection] = {}
        due = time.monotonic()
        for number in itertools.count():
            due += chance.expovariate(1.0) * THREADS * A_REQUEST / max(self.rate, 1.0)
            # Behind by more than that, it does not try to make up for it: load stays bounded.
            due = max(due, time.monotonic() - 0.5)
            if self._stopped.wait(max(due - time.monotonic(), 0.0)):
                break
            server = chance.choices(list(self._ports), self._shares)[0]
            connection = connections.setdefault(server, self._connection(server))
            path, who = chance.choices(PATHS, WEIGHTS)[0], chance.choice(self._crowd)
            self._answer(connection, path, who, f"v{thread}-{number}")
            if chance.random() < 1 / KEPT:
                connection.close()
        for connection in connections.values():
            connection.close()

    def _connection(self, server: str) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._ports[server], timeout=PATIENCE)

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        who: Visitor,
        token: str,
        **more: object,
    ) -> str | None:
        told = {"token": token, "visitor": who.visitor, "user": who.user, **more}
        query = urlencode({**told, "opted_out": 1} if who.opted_out else told)
        try:
            connection.request("GET", f"{path}?{query}", headers=who.headers)
            reply = connection.getresponse()
            text = reply.read().decode()
        except (OSError, http.client.HTTPException):
            connection.close()
            return None
        if reply.status == 200:
            self.promised.update(text.split() if path in PATHS else ())
            return text
        self.broken.append(f"{path}: {reply.status} {text[:200]!r}")
        return None
