"""What the views of all frameworks do, and what they share."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from datalyr_core import Config, Datalyr, Tracker
from tests.live.soak import ledger

ledger.began()

PAUSE = 0.01  # seconds between events of one request, in which others are served
CHILD_SECONDS = 3.0  # that a forked child may deliver before its end
STUCK = 40.0  # seconds after which a child is taken for stuck
HOOKS: dict[str, Any] = {"on_drop": ledger.on_drop}


class Visit(NamedTuple):
    """A request, as its driver tells it: the truth that events are compared with.

    Attributes:
        token: A name for the request; its events have a number behind it.
        visitor: The visitor's id; "" for a visitor who has none.
        user: The user's id; "" for nobody.
        opted_out: Whether they are not to be tracked.
    """

    token: str
    visitor: str
    user: str
    opted_out: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Visit:
        return cls(query["token"], query["visitor"], query["user"], "opted_out" in query)


def options() -> dict[str, Any]:
    """Return the client's options, by their names in capitals: the environment's, and the hooks."""
    names = [name.upper() for name in Config.NAMES]
    named = {
        name: os.environ[f"DATALYR_{name}"] for name in names if f"DATALYR_{name}" in os.environ
    }
    return {**named, **{name.upper(): hook for name, hook in HOOKS.items()}}


def one(tracker: Tracker, visit: Visit, number: int) -> str:
    """Track one event of a request; each kind of call in turn."""
    token = f"{visit.token}.{number}"
    told = {"token": token}
    ledger.tracking(token, visit.visitor, visit.user, opted_out=visit.opted_out)
    match number % 3:
        case 0:
            event_id = tracker.track("Soaked", told)
        case 1:
            event_id = tracker.page("Page", told)
        case _:
            event_id = tracker.track_purchase(number, "EUR", told)
    _settled(token, event_id)
    return f"{token}\n" if event_id else ""


def direct(client: Datalyr, visit: Visit, number: int) -> None:
    """Track one event without a request."""
    token = f"{visit.token}.{number}"
    ledger.tracking(token, visit.visitor, visit.user)
    _settled(
        token,
        client.track(
            event="Soaked",
            user_id=visit.user,
            anonymous_id=visit.visitor,
            properties={"token": token},
        ),
    )


def _settled(token: str, event_id: str | None) -> None:
    if event_id is None:
        ledger.note("refused", token)
    else:
        ledger.note("accepted", token, event_id)


def several(tracker: Tracker, visit: Visit) -> Iterator[str]:
    """Track some events, and let others have their turn in between."""
    for number in range(3):
        if number:
            time.sleep(PAUSE)
        yield one(tracker, visit, number)


def counts(client: Datalyr) -> str:
    """Note the client's own counts."""
    ledger.note("stats", asdict(client.stats))
    return f"{os.getpid()}"


def fork(client: Datalyr, visit: Visit, method: str, many: int) -> str:
    """Track in a forked child and beside it, and wait for the child."""
    process = None
    if method == "os.fork":
        pid = os.fork()
        if not pid:
            _live_and_leave(client, visit, many)
    else:
        context: Any = multiprocessing.get_context(method)
        inherited = client if method == "fork" else None
        process = context.Process(target=_track_many, args=(inherited, visit, many))
        _in_plain_thread(process.start)
        pid = process.pid
    ledger.note("forked", pid)
    for number in range(many, 2 * many):
        direct(client, visit, number)
    ledger.note("ended", pid, _joined(process) if process else _waited(pid))
    return "forked"


def _in_plain_thread(run: Callable[[], object]) -> None:
    """Run in a thread of its own, for a fork of multiprocessing.

    In a thread of a pool, as gunicorn's are, the child would find itself among the threads
    that Python joins at an exit, and end with 1.
    """
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def _live_and_leave(client: Datalyr, visit: Visit, many: int) -> None:
    """Be a child that leaves past every exit hook, as `os._exit` does."""
    status = 1
    try:
        _track_many(client, visit, many)
        client.close(CHILD_SECONDS)
        status = 0
    finally:
        os._exit(status)


def _track_many(client: Datalyr | None, visit: Visit, many: int) -> None:
    client = client or Datalyr.from_env(**HOOKS)
    for number in range(many):
        direct(client, visit, number)


def _joined(process: Any) -> int | None:
    process.join(STUCK)
    status: int | None = process.exitcode
    if status is None:
        process.kill()
        process.join()
    return status


def _waited(pid: int) -> int | None:
    deadline = time.monotonic() + STUCK
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)  # between two looks
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None
