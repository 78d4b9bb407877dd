"""The demo as people run it, but for the virtual environment: real servers, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from datalyr_core.errors import shown
from scripts._demo.ledger import Entry, Ledger
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
SHOPS = ("Django", "Flask", "FastAPI")
FREE = ("--inspector", "0", "--django", "0", "--flask", "0", "--fastapi", "0")
LANDINGS = 5


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo; what still runs at the end of the block is ended, with its shops."""
    command = [sys.executable, "-m", "scripts._demo", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def read_urls(process: subprocess.Popen[str]) -> dict[str, str]:
    """Read the addresses that the demo prints when everything runs."""
    assert process.stdout is not None
    urls = {}
    for line in process.stdout:
        if line.startswith("Ctrl+C"):
            break
        if found := re.match(r"(\w+) +(http://\S+)", line):
            urls[found[1]] = found[2]
    return urls


def children_of(pid: int) -> list[int]:
    """List the processes below one, their children included."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, found) for each in (child, *children_of(child))]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_check_sees_every_event_once() -> None:
    with demo("--check") as process:
        out, err = process.communicate(timeout=55)

    assert process.returncode == 0, out + err
    assert "each arrived once, as it should" in out
    assert not err


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads processes from /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_loses_nothing_and_leaves_no_process(signum: signal.Signals) -> None:
    with demo(*FREE) as process:
        urls = read_urls(process)
        processes = children_of(process.pid)
        for shop in SHOPS:
            for _ in range(LANDINGS):
                httpx.get(urls[shop]).raise_for_status()
        process.send_signal(signum)  # the events still wait in the shops
        out, err = process.communicate(timeout=30)

    assert process.returncode == 0, out + err
    assert f"{LANDINGS * len(SHOPS)} events accepted, 0 of them repeated" in out
    assert "0 contract violations" in out
    assert not err
    assert len(processes) >= len(SHOPS)
    assert eventually(lambda: not any(map(is_running, processes)))


def test_a_shop_that_dies_ends_the_demo() -> None:
    with demo(*FREE) as process:
        read_urls(process)
        (shop, *_) = children_of(process.pid)
        os.kill(shop, signal.SIGTERM)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "the Django shop ended by itself" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["inspector", "django", "flask", "fastapi"])
def test_a_port_in_use_is_one_clear_line(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo(*FREE, f"--{name}", str(port)) as process:
            out, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert not out
    assert err == (
        f"demo: port {port} (for {name}) is in use: "
        f"stop what uses it, or choose another with --{name} PORT\n"
    )


def view(event_id: str, duplicate: bool = False, **changed: object) -> dict[str, object]:
    body = {
        "event": "purchase",
        "eventId": event_id,
        "anonymousId": "anon_1",
        "userId": "user_1",
        "properties": {"value": 5},
    }
    return {"event": {**body, **changed}, "duplicate": duplicate, "violations": []}


@pytest.mark.parametrize(
    ("arrived", "problem"),
    [
        ([], "arrived 0 times"),
        ([view("a"), view("a")], "arrived 2 times"),
        ([view("a"), view("a", duplicate=True)], "has 1 repeats, not 0"),
        ([view("a", anonymousId="anon_2")], "has the anonymousId 'anon_2', not 'anon_1'"),
        ([view("a", userId=None)], "has the userId None, not 'user_1'"),
        ([view("a", event="$pageview")], "has the event '$pageview', not 'purchase'"),
        ([view("a", properties={"value": 6})], "has the value 6, not 5"),
        ([view("a"), view("b")], "purchase b arrived; nobody tracked it"),
        ([{**view("a"), "violations": ["odd"]}], "breaks the contract: odd"),
    ],
)
def test_the_check_would_notice(arrived: list[dict[str, object]], problem: str) -> None:
    ledger = Ledger()
    ledger.note("a", Entry("Ada", "Flask", "purchase", "anon_1", "user_1", {"value": 5}))

    assert [said for said in ledger.compare(arrived) if problem in said]
    assert not ledger.compare([view("a")])


PAID = {
    "amount_total": 4999,
    "client_reference_id": "anon_1",
    "currency": "eur",
    "payment_status": "paid",
}
NO_AMOUNTS = (10**30, "dear", None, 49.99)
NO_PAYMENTS = [b"", b"null", b"[]", b'{"type": "checkout.session.completed"}'] + [
    json.dumps(
        {
            "id": "evt_1",
            "type": "checkout.session.completed",
            "created": 1751373296,
            "data": {"object": {**PAID, "amount_total": amount}},
        }
    ).encode()
    for amount in NO_AMOUNTS
]


def test_shops_refuse_nonsense_and_escape_what_they_show() -> None:
    headers = {"Content-Type": "application/json"}
    hostile = {"Cookie": "__dl_visitor_id=<script>alert(1)</script>"}
    with demo(*FREE) as process:
        urls = read_urls(process)
        for shop in SHOPS:
            for body in NO_PAYMENTS:
                reply = httpx.post(f"{urls[shop]}/webhook", content=body, headers=headers)
                assert reply.status_code in (400, 422), (shop, body)
            page = httpx.get(urls[shop], headers=hostile)
            assert page.status_code == 200
            assert "&lt;script&gt;alert(1)" in page.text
            assert "<script>alert(1)" not in page.text
        for signature in (
            b"",
            b"nonsense",
            b"\xe9",
            b"8GnUHTpDSsmNQmJJMnhCvDq9VhBBQS4ffx4iAYXkpqc=",
        ):
            signed = {**headers, "X-Shopify-Hmac-Sha256": signature}
            reply = httpx.post(f"{urls['Flask']}/webhook/shopify", content=b"{}", headers=signed)
            assert reply.status_code == 401, signature
        process.terminate()
        _, err = process.communicate(timeout=30)

    # That an amount is none is said, and nothing else goes wrong.
    assert {line.partition(" of ")[0] for line in err.splitlines()} == {
        f"stripe_amount() cannot read {shown(amount)}" for amount in NO_AMOUNTS
    }
