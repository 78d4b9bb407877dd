"""What a value must be to be an option: checks that clamp, convert, or say what to write.

A check takes a value and returns the value to use with a warning, or raises `Problem`.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from datalyr_core.errors import shown

if TYPE_CHECKING:
    from pathlib import Path

Check = Callable[[Any], tuple[Any, str | None]]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")  # RFC 9110, 5.6.2
_DOMAIN = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\Z")
_KEY = re.compile(r"[\x21-\x7e]+\Z")
_QUEUE = re.compile(r"[A-Za-z0-9_.-]{1,70}\Z")
_SPACE = re.compile(r"[\x00-\x20\x7f]")
# What kombu has a transport for that keeps what it is given, and that several can take from.
BROKERS = {
    "amqp", "amqps", "confluentkafka", "memory", "pyamqp",
    "redis", "redis+socket", "rediss", "sentinel", "sqs",
}  # fmt: skip
MAX_URL = 2048  # characters; more is a mistake
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class Problem(Exception):
    """Say what is wrong with a value and what to write instead."""


def whole(low: int, high: int) -> Check:
    """Accept a whole number, clamped to a range."""

    def check(value: Any) -> tuple[int, str | None]:
        number, warning = _clamped(_number(value), low, high, "")
        if number != int(number):
            raise Problem(f"is {shown(value)}; write a whole number from {low} to {high}")
        return int(number), warning

    return check


def seconds(low: float, high: float) -> Check:
    """Accept a number of seconds, clamped to a range."""

    def check(value: Any) -> tuple[float, str | None]:
        return _clamped(_number(value), low, high, " seconds")

    return check


def time_out(value: Any) -> float | None:
    """Return a caller's time-out in seconds; None for what is no number."""
    try:
        return _number(value)
    except Exception:  # Problem, or what a number of the application's own raises
        return None


def flag(value: Any) -> tuple[bool, str | None]:
    """Accept a boolean, or one of the words that mean one."""
    if isinstance(value, bool):
        return value, None
    word = str(value).strip().lower()
    if word in _TRUE | _FALSE and isinstance(value, str | int):
        return word in _TRUE, None
    raise Problem(f"is {shown(value)}; write True or False")


def api_key(value: Any) -> tuple[str | None, str | None]:
    """Accept a key that an HTTP header can carry; no message shows it."""
    if value is None or value == "":
        return None, None
    if not isinstance(value, str):
        raise Problem(f"is a {type(value).__name__}; write the key as a string (dk_…)")
    value = value.strip()
    if not _KEY.match(value):
        raise Problem("holds a character that no key has; copy it again (dk_…)")
    return value, None


def url(value: Any) -> tuple[str, str | None]:
    """Accept an http(s) URL."""
    advice = "write a URL such as 'https://ingest.datalyr.com/track'"
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        # A name that IDNA has no form for (an empty label, one of 64 letters) has no address.
        good = (
            parts.scheme in ("http", "https")
            and parts.port != 0
            and bool((parts.hostname or "").encode("idna"))
            and len(value) <= MAX_URL
        )
    except ValueError:  # UnicodeError is one
        good = False
    if not good or _SPACE.search(value):
        raise Problem(f"is {shown(value)}; {advice}")
    return value, None


def broker(value: Any) -> tuple[str, str | None]:
    """Accept a broker's URL, or several with semicolons between, if kombu is there for it."""
    urls = value.split(";") if isinstance(value, str) else ()
    if not urls or not all(map(_is_broker, urls)) or len(value) > MAX_URL:
        raise Problem(
            f"is {shown(value)}; write a URL such as 'redis://127.0.0.1:6379/0' or "
            f"'amqp://127.0.0.1:5672//' ({', '.join(sorted(BROKERS))})"
        )
    if "kombu" not in sys.modules and find_spec("kombu") is None:
        raise Problem("needs a package: pip install 'datalyr[broker]'")
    return value, None


def _is_broker(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in BROKERS and parts.port != 0 and "://" in url and not _SPACE.search(url)
        )
    except ValueError:
        return False


def queue_name(value: Any) -> tuple[str, str | None]:
    """Accept the name of a broker's queue, without what some of them do not take."""
    if not isinstance(value, str) or not _QUEUE.match(value):
        raise Problem(f"is {shown(value)}; write a name such as 'datalyr.events'")
    return value, None


def is_loopback(name: str) -> bool:
    """Tell whether a host name is this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_private(host: str) -> bool:
    """Tell whether nobody on the way can read what is sent: https, or this machine alone."""
    parts = urlsplit(host)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def function(value: Any) -> tuple[Any, str | None]:
    """Accept a plain callable, or None."""
    if value is not None and not callable(value):
        raise Problem(f"is {shown(value)}; write a function, without quotes or brackets")
    call = getattr(value, "__call__", None)  # noqa: B004 - what it is, not whether there is one
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(call):
        name = getattr(value, "__qualname__", shown(value))
        raise Problem(f"is the async function {name}; write a plain one")
    return value, None


def transport(value: Any) -> tuple[Any, str | None]:
    """Accept the name of a transport, or an object that can send."""
    if value == "fast" and "httptools" not in sys.modules and find_spec("httptools") is None:
        raise Problem("is 'fast' and needs a package: pip install 'datalyr[fast]'")
    if value in ("httpx", "fast") or callable(getattr(value, "send", None)):
        return value, None
    raise Problem(
        f"is {shown(value)}; write 'httpx' or 'fast', or give an object with send(body) -> Reply"
    )


def http_client(value: Any) -> tuple[Any, str | None]:
    """Accept an httpx-style client with a synchronous interface."""
    if value is None:
        return None, None
    if inspect.iscoroutinefunction(getattr(value, "send", None)):
        raise Problem(f"is an async {type(value).__name__}; give an httpx.Client")
    if all(callable(getattr(value, name, None)) for name in ("build_request", "send")):
        return value, None
    raise Problem(f"is a {type(value).__name__}; give an httpx.Client or one like it")


def outbox(value: Any) -> tuple[str, str | None]:
    """Accept "memory", or the URL of an SQLite file."""
    if value == "memory":
        return value, None
    from pathlib import PurePosixPath  # as below, for SQLite alone

    advice = "write 'memory' or 'sqlite:///path/to/outbox.db', with the whole path"
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
    except ValueError:
        parts = urlsplit("")
    path = unquote(parts.path)
    # A file in the root folder is somebody's relative path.
    whole = len(PurePosixPath(path).parts) > 2 and "\0" not in path
    if parts.scheme != "sqlite" or parts.netloc or parts.query or parts.fragment or not whole:
        raise Problem(f"is {shown(value)}; {advice}")
    return value, None


def outbox_path(url: str) -> Path:
    """Return the file that the URL of an SQLite outbox names.

    A further slash, as SQLAlchemy writes a whole path, changes nothing.
    """
    from pathlib import Path

    return Path("/" + unquote(urlsplit(url).path).lstrip("/"))


def names(*allowed: str) -> Check:
    """Accept some names, as a sequence or as one string with commas."""

    def check(value: Any) -> tuple[tuple[str, ...], str | None]:
        given = _listed(value)
        if given is None or not set(given) <= set(allowed):
            raise Problem(f"is {shown(value)}; write a list out of {', '.join(allowed)}")
        return given, None

    return check


def paths(value: Any) -> tuple[Any, str | None]:
    """Accept a callable, or paths that begin with a slash."""
    if callable(value):
        return function(value)
    given = _listed(value)
    if given is None or not all(path.startswith("/") for path in given):
        raise Problem(
            f"is {shown(value)}; write paths such as ['/healthz', '/static/'], or a function"
        )
    return given, None


def text(value: Any) -> tuple[str, str | None]:
    """Accept a string, or a whole number that stands for one."""
    if type(value) is int:
        return str(value), None
    if not isinstance(value, str) or not value:
        raise Problem(f"is {shown(value)}; write a string")
    return value, None


def token(value: Any) -> tuple[str, str | None]:
    """Accept the name of a cookie or a header."""
    if not isinstance(value, str) or not _TOKEN.match(value):
        raise Problem(f"is {shown(value)}; write a name such as '__dl_visitor_id'")
    return value, None


def domain(value: Any) -> tuple[str, str | None]:
    """Accept a cookie's domain."""
    if not isinstance(value, str) or not _DOMAIN.match(value):
        raise Problem(f"is {shown(value)}; write a domain such as 'example.com'")
    return value, None


def optional(check: Check) -> Check:
    """Accept None, or what another check accepts."""
    return lambda value: (None, None) if value is None else check(value)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:  # beyond every range, as infinity is
        number = math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or math.isnan(number):
        raise Problem(f"is {shown(value)}; write a number")
    return number


def _clamped(value: float, low: float, high: float, unit: str) -> tuple[float, str | None]:
    used = min(max(value, low), high)
    if used == value:
        return value, None
    return float(used), f"is out of range ({low} to {high}{unit}); {used}{unit} is used"


def _listed(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        return None
    given = tuple(value)
    return given if all(isinstance(part, str) for part in given) else None
