"""What callers write wrongly never raises later, and what they write in URLs never shows."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from datalyr_core import Config, ConfigurationError, Datalyr, Event
from datalyr_core.errors import shown, without_credentials
from tests.conftest import MakeClient
from tests.support.ingest import DOWN, IngestServer


class Hostile:
    def __float__(self) -> float:
        raise RuntimeError("not a number at all")

    def __repr__(self) -> str:
        raise RuntimeError("nor to be shown")


BAD = ["soon", object(), [], timedelta(seconds=1), float("nan"), True, Hostile(), 1j]


@pytest.mark.parametrize("timeout", BAD, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("call", ["flush", "close"])
def test_a_bad_time_out_is_one_warning_and_the_default(
    call: str, timeout: Any, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    client.track("u", "E")
    wait: Callable[[Any], bool] = getattr(client, call)
    assert wait(timeout) is True
    assert wait(timeout) is True
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert f"{call}(timeout=" in warnings[0].getMessage()
    assert "is no number of seconds; the default is used" in warnings[0].getMessage()


@pytest.mark.parametrize("timeout", [10, 10.0, "10", float("inf"), 10**400], ids=repr)
def test_a_good_time_out_is_taken(
    timeout: Any, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    client.track("u", "E")
    assert client.flush(timeout)
    assert client.close(timeout)
    assert caplog.text == ""


def test_a_time_out_below_zero_is_none_at_all(
    make_client: MakeClient, ingest: IngestServer
) -> None:
    ingest.answer = DOWN
    client = make_client()
    client.track("u", "E")
    assert client.flush(-1) is False
    assert client.close(-(10**400)) is False
    assert client.stats.dropped["close_timeout"] == 1


URL = "https://us%40er:pa%2Fss@ingest.example/track"


def test_credentials_of_the_host_show_nowhere(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(host=URL)
    assert repr(client) == (
        "<Datalyr Config(api_key=<hidden>, host='https://<hidden>@ingest.example/track')>"
    )
    Config(api_key="dk_test", host="http://user:hunter2@ingest.example/track")
    assert "http://<hidden>@ingest.example/track is not https" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "host",
    [
        "ftp://user:hunter2@ingest.example",
        "https://user:se/hunter2@ingest.example:0/track",
        "https://user:hunter2@ingest.example:port",
        f"https://user:hunter2{'x' * 100}@ingest.example:port",
    ],
)
def test_credentials_of_a_bad_host_show_nowhere(host: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Config(api_key="dk_test", host=host)
    assert "//<hidden>@ingest.example" in str(raised.value)
    assert "hunter2" not in f"{raised.value} {raised.value.problems}"


@pytest.mark.parametrize(
    "proxy", ["gopher://user:hunter2@proxy.example", "http://user:hunter2@proxy.example:port"]
)
def test_credentials_of_a_bad_proxy_show_nowhere(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ConfigurationError) as raised:
        Datalyr("dk_test")
    told = "".join(traceback.format_exception(raised.value))
    assert "check the environment's HTTPS_PROXY" in told
    assert "hunter2" not in told


def test_credentials_in_an_error_show_nowhere(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[str] = []

    class Failing:
        def send(self, body: bytes) -> Any:
            raise OSError("cannot reach http://user:hunter2@proxy.example")

    def on_error(event: Event, error: Exception) -> None:
        errors.append(str(error))

    client = make_client(transport=Failing(), retry_limit=0, debug=True, on_error=on_error)
    caplog.set_level(logging.DEBUG)
    client.track("u", "E")
    client.flush()
    client.close(timeout=0)
    assert errors[0] == "OSError: cannot reach http://<hidden>@proxy.example"
    assert "the ingest fails (OSError: cannot reach http://<hidden>@proxy.example)" in caplog.text
    assert "hunter2" not in caplog.text


def test_what_is_no_credential_stays() -> None:
    text = "see https://example.com/a?b=c, 'https://example.com' and me@example.com"
    assert without_credentials(text) == text
    assert shown("https://example.com/track") == "'https://example.com/track'"
