"""The status port by itself."""

from __future__ import annotations

import http.client
import logging
import socket
import struct

import pytest

from datalyr_core.relay.status import status_server
from tests.support.waiting import eventually


def test_it_listens_on_ipv6_too() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with status_server(("::1", 0), dict, list) as port:
        connection = http.client.HTTPConnection("::1", port, timeout=10)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_client_that_leaves_in_the_middle_is_no_matter(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "datalyr")
    with status_server(("127.0.0.1", 0), dict, list) as port:
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET /hea")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()  # with a reset
        assert eventually(lambda: "a client of the status port has failed" in caplog.text, 10)
    assert capfd.readouterr() == ("", "")
