from __future__ import annotations

import logging
import re
from functools import partial
from typing import Any

import httpx
import pytest

from datalyr_core import Config, ConfigurationError, Datalyr, DatalyrError
from datalyr_core.delivery import http

DEFAULTS = {
    "host": "https://ingest.datalyr.com/track",
    "flush_at": 20,
    "flush_interval": 10.0,
    "timeout": 10.0,
    "retry_limit": 3,
    "max_queue_size": 1000,
    "close_timeout": 30.0,
    "exit_timeout": 5.0,
    "broker": None,
    "broker_queue": "datalyr.events",
    "concurrency": 10,
    "debug": False,
    "enabled": True,
    "on_error": None,
    "on_drop": None,
    "before_send": None,
    "transport": "httpx",
    "http_client": None,
    "outbox": "memory",
    "outbox_max_events": 100_000,
    "outbox_max_bytes": 67_108_864,
    "cookie_name": "__dl_visitor_id",
    "anonymous_id_header": None,
    "user_id": None,
    "respect_opt_out": True,
    "respect_gpc": True,
    "respect_dnt": False,
    "set_visitor_cookie": False,
    "cookie_domain": None,
    "request_context": (),
    "exclude": (),
    "workspace_id": None,
}
RANGES = {
    "flush_at": (1, 100),
    "flush_interval": (1, 3600),
    "timeout": (1, 60),
    "retry_limit": (0, 10),
    "max_queue_size": (100, 10_000),
    "close_timeout": (1, 120),
    "exit_timeout": (0, 60),
    "concurrency": (1, 100),
    "outbox_max_events": (1_000, 10_000_000),
}
FLAGS = [name for name, default in DEFAULTS.items() if isinstance(default, bool)]


def config(**options: Any) -> Config:
    return Config(**{"api_key": "dk_test", **options})


def problem(**options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        config(**options)
    return str(caught.value)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_every_option_has_its_default() -> None:
    assert {"api_key", *DEFAULTS} == Config.NAMES
    assert {name: getattr(config(), name) for name in DEFAULTS} == DEFAULTS


def test_the_defaults_warn_of_nothing(caplog: pytest.LogCaptureFixture) -> None:
    config()
    assert warnings(caplog) == []


@pytest.mark.parametrize(("name", "bounds"), RANGES.items(), ids=str)
def test_a_number_within_its_range_is_kept(
    name: str, bounds: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    for value in bounds:
        assert getattr(config(**{name: value}), name) == value
        assert getattr(config(**{name: str(value)}), name) == value
    assert warnings(caplog) == []


@pytest.mark.parametrize(("name", "bounds"), RANGES.items(), ids=str)
def test_a_number_out_of_its_range_is_clamped_with_one_warning(
    name: str, bounds: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    low, high = bounds
    for value, used in ((low - 1, low), (high + 1, high), (10**9, high)):
        caplog.clear()
        assert getattr(config(**{name: value}), name) == used
        [message] = warnings(caplog)
        assert f"{name}={value}" in message
        assert f"{low} to {high}" in message


def test_times_may_have_fractions_and_counts_may_not() -> None:
    assert config(flush_interval=1.5).flush_interval == 1.5
    assert "flush_at is 1.5; write a whole number" in problem(flush_at=1.5)


@pytest.mark.parametrize("value", [None, "many", True, float("nan"), [], 1j])
def test_what_is_no_number_is_refused(value: object) -> None:
    for name in RANGES:
        assert f"{name} is {value!r}; write a number" in problem(**{name: value})


@pytest.mark.parametrize("value", [float("inf"), "1e999", 10**400])
def test_what_is_beyond_every_number_is_out_of_range(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    for name, (_, high) in RANGES.items():
        assert getattr(config(**{name: value}), name) == high
        assert getattr(config(**{name: f"-{value}"}), name) == RANGES[name][0]
    assert max(len(message) for message in warnings(caplog)) < 250


class Unshowable:
    def __repr__(self) -> str:
        raise LookupError("on purpose")


def test_a_value_that_cannot_be_shown_is_named_all_the_same() -> None:
    assert "flush_at is a Unshowable that cannot be shown" in problem(flush_at=Unshowable())


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(problem(host="x" * 100_000)) < 300


@pytest.mark.parametrize(
    "host", ["https://a..b/x", f"https://{'a' * 64}.com/", "https://x/" + "y" * 3000]
)
def test_a_host_that_nobody_can_look_up_is_refused(host: str) -> None:
    assert "write a URL" in problem(host=host)


@pytest.mark.parametrize("name", FLAGS)
def test_flags_accept_the_words_of_the_environment(name: str) -> None:
    for word in ("1", "true", "Yes", " on ", 1, True):
        assert getattr(config(**{name: word}), name) is True
    for word in ("0", "false", "No", "off", "", 0, False):
        assert getattr(config(**{name: word}), name) is False
    assert f"{name} is 'maybe'; write True or False" in problem(**{name: "maybe"})
    assert f"{name} is None" in problem(**{name: None})


def hook(*args: object) -> None:
    return None


async def async_hook(*args: object) -> None:
    return None


class AsyncHook:
    async def __call__(self, *args: object) -> None: ...


GOOD: list[tuple[str, Any, Any]] = [
    ("host", "http://127.0.0.1:8000/track", "http://127.0.0.1:8000/track"),
    ("host", "https://[::1]/track", "https://[::1]/track"),
    ("on_drop", hook, hook),
    ("before_send", None, None),
    ("outbox", "memory", "memory"),
    ("cookie_name", "my_visitor", "my_visitor"),
    ("anonymous_id_header", "X-Visitor-Id", "X-Visitor-Id"),
    ("anonymous_id_header", None, None),
    ("cookie_domain", ".example.com", ".example.com"),
    ("cookie_domain", "localhost", "localhost"),
    ("request_context", "url, ip", ("url", "ip")),
    ("request_context", ["user_agent"], ("user_agent",)),
    ("exclude", "/healthz,/static/", ("/healthz", "/static/")),
    ("exclude", ["/a"], ("/a",)),
    ("exclude", hook, hook),
    ("workspace_id", "ws_1", "ws_1"),
    ("workspace_id", 7, "7"),
]
BAD: list[tuple[str, Any, str]] = [
    ("host", "ingest.datalyr.com", "write a URL such as"),
    ("host", "ftp://ingest.datalyr.com/track", "write a URL"),
    ("host", "https:///track", "write a URL"),
    ("host", "https://a b/track", "write a URL"),
    ("host", "https://a/track\n", "write a URL"),
    ("host", "https://a:99999/", "write a URL"),
    ("host", "https://a:0/", "write a URL"),
    ("host", None, "write a URL"),
    ("on_error", "print", "without quotes or brackets"),
    ("on_drop", async_hook, "is the async function async_hook; write a plain one"),
    ("user_id", partial(async_hook, 1), "; write a plain one"),
    ("user_id", AsyncHook(), "is the async function <tests.core."),
    ("transport", "carrier pigeon", "write 'httpx'"),
    ("transport", None, "write 'httpx'"),
    ("http_client", object(), "is a object; give an httpx.Client"),
    ("outbox", "postgres", "write 'memory'"),
    ("cookie_name", "my visitor", "write a name such as"),
    ("cookie_name", "", "write a name"),
    ("cookie_name", None, "write a name"),
    ("anonymous_id_header", "X-Id\r\nEvil", "write a name"),
    ("cookie_domain", "example.com; HttpOnly", "write a domain such as"),
    ("cookie_domain", "", "write a domain"),
    ("request_context", ["body"], "write a list out of url, path, referrer, user_agent, ip"),
    ("request_context", 5, "write a list out of"),
    ("request_context", {"url": True}, "write a list out of"),
    ("request_context", [5], "write a list out of"),
    ("exclude", ["healthz"], "write paths such as"),
    ("exclude", 5, "write paths"),
    ("exclude", async_hook, "async function"),
    ("workspace_id", "", "write a string"),
    ("workspace_id", True, "write a string"),
]


@pytest.mark.parametrize(("name", "value", "used"), GOOD)
def test_good_values(name: str, value: object, used: object) -> None:
    assert getattr(config(**{name: value}), name) == used


@pytest.mark.parametrize(("name", "value", "advice"), BAD)
def test_bad_values_are_named_with_what_to_write_instead(
    name: str, value: object, advice: str
) -> None:
    message = problem(**{name: value})
    assert f"- {name} is " in message
    assert advice in message


def test_an_http_client_must_be_synchronous() -> None:
    with httpx.Client() as client:
        assert config(http_client=client).http_client is client
    assert "is an async AsyncClient; give an httpx.Client" in problem(
        http_client=httpx.AsyncClient()
    )


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config.from_mapping({"flush_at": "x", "host": "nowhere", "timeot": 3, "on_drop": 5})
    lines = str(caught.value).splitlines()
    assert lines[0] == "Datalyr cannot start:"
    assert sorted(line.split()[1] for line in lines[1:]) == [
        "api_key",
        "flush_at",
        "host",
        "on_drop",
        "timeot",
    ]


def test_the_error_is_a_value_error_of_the_suite() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(ConfigurationError, DatalyrError)


def test_an_unknown_option_is_refused_with_a_suggestion() -> None:
    for make in (
        lambda: Config.from_mapping({"api_key": "dk_test", "flush_intervall": 5}),
        lambda: Datalyr("dk_test", flush_intervall=5),
        lambda: Datalyr(config(), flush_intervall=5),
    ):
        with pytest.raises(ConfigurationError, match="flush_intervall is no option") as caught:
            make()
        assert "write 'flush_interval'" in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"zzz is no option$"):
        Config.from_mapping({"api_key": "dk_test", "zzz": 5})


# The key


@pytest.mark.parametrize("value", [None, ""])
def test_a_key_is_required(value: object) -> None:
    assert "api_key is missing; copy it from Datalyr's settings" in problem(api_key=value)


def test_no_key_is_needed_when_disabled() -> None:
    assert Config(enabled=False).api_key is None
    assert Config(enabled="false").api_key is None


def test_a_key_is_stripped_and_an_odd_one_is_only_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert config(api_key=" dk_live\n").api_key == "dk_live"
    assert warnings(caplog) == []
    assert config(api_key="sk_live").api_key == "sk_live"
    assert warnings(caplog) == ["api_key does not start with 'dk_'; is it the right key?"]


@pytest.mark.parametrize("key", ["dk_hush\nhush", "dk_hüsh", "dk_hush hush", b"dk_hush"])
def test_a_bad_key_is_refused_without_being_shown(key: object) -> None:
    message = problem(api_key=key, flush_at="x")
    assert "api_key" in message
    assert message.count("api_key") == 1
    assert "hush" not in message
    assert "hüsh" not in message


def test_the_key_is_in_no_repr_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = config(api_key="sk_hush", flush_at=1000, host="http://example.com/track")
    with Datalyr(made, enabled=False) as client:
        client.track("u", "E")
        assert "hush" not in repr(client)
    assert "hush" not in repr(made) + str(made) + caplog.text
    assert repr(made).startswith("Config(api_key=<hidden>, host='http://example.com/track'")


@pytest.mark.parametrize(
    ("host", "warns"),
    [
        ("https://example.com/track", False),
        ("http://localhost/track", False),
        ("http://inspector.localhost/track", False),
        ("http://127.0.0.1:8000/track", False),
        ("http://[::1]:8000/track", False),
        ("http://example.com/track", True),
        ("http://192.0.2.1/track", True),
    ],
)
def test_a_key_that_travels_in_the_clear_is_warned_about(
    host: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    config(host=host)
    assert ["in the clear" in each for each in warnings(caplog)] == ([True] if warns else [])


# Where it comes from


def test_from_a_mapping_with_names_in_any_case() -> None:
    made = Config.from_mapping({"API_KEY": "dk_test", "Flush_At": 5}, flush_at=7)
    assert (made.api_key, made.flush_at) == ("dk_test", 7)


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATALYR_API_KEY", "dk_env")
    monkeypatch.setenv("DATALYR_FLUSH_AT", "5")
    monkeypatch.setenv("DATALYR_RESPECT_GPC", "no")
    monkeypatch.setenv("DATALYR_SOMETHING_ELSE", "ignored")
    made = Config.from_env(flush_interval=3)
    assert (made.api_key, made.flush_at, made.respect_gpc) == ("dk_env", 5, False)
    assert made.flush_interval == 3
    with Datalyr.from_env(retry_limit=1) as client:
        assert (client.config.api_key, client.config.retry_limit) == ("dk_env", 1)


def test_from_a_given_environment() -> None:
    made = Config.from_env({"DATALYR_API_KEY": "dk_other", "DATALYR_EXCLUDE": "/a,/b"})
    assert (made.api_key, made.exclude) == ("dk_other", ("/a", "/b"))


def test_a_client_takes_a_whole_config_and_changes_to_it() -> None:
    made = config(flush_at=5)
    with Datalyr(made) as same, Datalyr(made, flush_at=6) as other:
        assert same.config is made
        assert (other.config.flush_at, other.config.api_key) == (6, "dk_test")


def test_an_empty_variable_is_none() -> None:
    made = Config.from_env({"DATALYR_API_KEY": "dk_1", "DATALYR_FLUSH_AT": ""})
    assert made.flush_at == 20


def test_the_key_counts_in_any_case() -> None:
    client = Datalyr(API_KEY="dk_1")
    assert client.config.api_key == "dk_1"
    client.close()


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("HTTPS_PROXY", "ftp://proxy:21", "ftp"),
        ("ALL_PROXY", "socks5://proxy:1080", "pip install 'httpx[socks]'"),
        pytest.param(
            *("SSL_CERT_FILE", "/nowhere/at-all.pem", "FileNotFoundError"),
            marks=pytest.mark.skipif(
                httpx.__version__ < "0.28", reason="httpx 0.27 passes over a file that is not there"
            ),
        ),
    ],
)
def test_an_environment_that_makes_http_impossible_stops_the_start(
    variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr(http, "find_spec", lambda name: None)
    http.tls_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=re.escape(told)) as caught:
        Datalyr("dk_hush")
    assert "hush" not in str(caught.value)


def test_a_proxy_may_be_named_as_an_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "user:pass@proxy.corp:3128")
    proxy = http._proxy_for(httpx.URL("https://ingest.datalyr.com/track"))
    assert proxy is not None
    assert (proxy.url.host, proxy.url.port) == (b"proxy.corp", 3128)
    assert proxy.auth == (b"user", b"pass")
