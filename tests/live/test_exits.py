"""However a process ends, what it accepted is delivered once."""

from __future__ import annotations

import pytest

from tests.live import exits


@pytest.mark.parametrize("name", exits.PROGRAMS, ids=" - ".join)
def test_program_loses_nothing(name: tuple[str, str]) -> None:
    row = exits.run_program(name)

    assert row.good, row


@pytest.mark.parametrize("name", exits.SERVERS, ids=" - ".join)
def test_server_loses_nothing(name: tuple[str, str]) -> None:
    row = exits.run_server(name)

    assert row.good, row
