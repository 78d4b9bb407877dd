"""Connections that are not made, break off, or lead to nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.faults.fault import HARMLESS, TIMES_OUT, WAITS, Fault
from tests.faults.site import (
    DrippingBody,
    Site,
    answering,
    blackhole,
    greeting,
    reset,
    taking,
)
from tests.support.ingest import SILENCE, Answer


@contextmanager
def _refusing(site: Site) -> Iterator[None]:
    site.ingest.refuse()
    site.ingest.close_idle()
    yield
    site.ingest.accept_again()


@contextmanager
def _unreachable(site: Site) -> Iterator[None]:
    with _refusing(site), blackhole("127.0.0.1", site.ingest.port):
        yield


def _read_and_reset(site: Site, connection: socket.socket) -> None:
    connection.recv(20)  # of some 700
    reset(connection)


def _read_nothing(site: Site, connection: socket.socket) -> None:
    site.ingest.wait(30)


FAULTS = (
    Fault("refuses connections", _refusing),
    Fault("takes no connection", _unreachable, goal=TIMES_OUT),
    Fault("resets in mid-request", greeting(_read_and_reset)),
    Fault("resets in mid-reply", taking(Answer(cut=20)), goal=replace(WAITS, again=True)),
    Fault("reads nothing and never answers", greeting(_read_nothing), goal=TIMES_OUT),
    Fault("reads and never answers", answering(SILENCE), goal=TIMES_OUT),
    Fault(
        "answers a byte a second",
        answering(Answer(drip=1)),
        goal=replace(TIMES_OUT, again=True),  # it has the event all the same
        timeout=2,
    ),
    Fault(
        "200, then a body of a byte a second",
        answering(DrippingBody(drip=1)),
        goal=HARMLESS,
        timeout=4,
    ),
)
