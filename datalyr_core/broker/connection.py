"""Connections to a broker, by URL, with a bound on every wait."""

from __future__ import annotations

# A fork in the middle of an import leaves the child with a lock that nobody releases. What
# the sender's thread would import is therefore imported here, in the main thread.
import encodings.idna  # noqa: F401 - by a connection to a host name
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from kombu import Connection
from kombu.exceptions import OperationalError

from datalyr_core.event import LIBRARY
from datalyr_core.version import __version__

MASTER = "mymaster"  # what Sentinels call a master of which the URL does not say the name

_SECURE: dict[str, dict[str, Any]] = {
    "amqps": {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None},  # the URL's host
    "rediss": {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True},
}


def connection_to(
    url: str,
    *,
    timeout: float,
    heartbeat: float = 0.0,
    visibility_timeout: float | None = None,
    **more: Any,
) -> Connection:
    """Describe a connection; nothing is connected yet.

    Certificates are verified, other than by kombu's own defaults for `rediss` and `amqps`.

    Args:
        url: The broker's URL.
        timeout: Seconds that each step on the network may take.
        heartbeat: Seconds between signs of life, for AMQP; whoever asks for them has to
            call `heartbeat_check`. None by default.
        visibility_timeout: Seconds after which Redis and SQS deliver again what was not
            acknowledged, for consumers.
        **more: Transport options that win over these.
    """
    scheme = scheme_of(url)
    options = _OPTIONS[scheme](timeout) if scheme in _OPTIONS else {}
    if visibility_timeout is not None:
        options["visibility_timeout"] = visibility_timeout
    if scheme == "sentinel":
        url, options["master_name"] = _master_of(url)
    connection = Connection(
        url,
        ssl=scheme in _SECURE,
        connect_timeout=timeout,
        heartbeat=heartbeat,
        transport_options={**options, **more},
    )
    if scheme in _SECURE:
        named = connection.ssl if isinstance(connection.ssl, dict) else {}
        connection.ssl = {**_SECURE[scheme], **named}  # what the URL says wins
    return connection


def connect(connection: Connection) -> None:
    """Connect, trying each host of the URL once.

    Raises:
        OperationalError: None of them answered; another error of kombu's, if one refused.
    """
    connection.ensure_connection(max_retries=len(connection.alt[1:]), interval_start=0)


def prepare(url: str) -> None:
    """Import what a connection needs, and see that it is installed.

    To be done in the main thread: a fork in the middle of an import leaves the child with a
    module that is never finished.

    Raises:
        Exception: A package is missing, or the URL cannot be read.
    """
    with connection_to(url, timeout=1) as connection:
        connection.create_transport()


def scheme_of(url: str) -> str:
    """Return a URL's scheme, in lower case."""
    return urlsplit(url).scheme


def _master_of(url: str) -> tuple[str, str]:
    """Take the master's name out of the URL of Sentinels, where kombu knows of none."""
    named = MASTER
    without = []
    for parts in map(urlsplit, url.split(";")):
        query = dict(parse_qsl(parts.query))
        named = query.pop("master_name", named)
        without.append(urlunsplit(parts._replace(query=urlencode(query))))
    return ";".join(without), named


def _amqp_options(timeout: float) -> dict[str, Any]:
    return {
        "confirm_publish": True,
        "read_timeout": timeout,
        "write_timeout": timeout,
        "client_properties": {"product": LIBRARY, "product_version": __version__},
    }


def _redis_options(timeout: float) -> dict[str, Any]:
    return {
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
        "socket_keepalive": True,
        "retry_on_timeout": False,
    }


def _sqs_options(timeout: float) -> dict[str, Any]:
    once = {"total_max_attempts": 1}  # when to try again is the sender's affair
    return {"client-config": {"connect_timeout": timeout, "read_timeout": timeout, "retries": once}}


def _kafka_options(timeout: float) -> dict[str, Any]:
    # kombu waits for the delivery and does not look at what came of it.
    producer = {"message.timeout.ms": int(timeout * 1000), "on_delivery": _raise_if_lost}
    return {
        "connection_wait_time_seconds": timeout,
        "kafka_common_config": {"log_level": 2},  # it writes to stderr, once for every attempt
        "kafka_producer_config": producer,
    }


def _raise_if_lost(error: Any, message: Any) -> None:
    if error is not None:
        raise OperationalError(str(error))


_OPTIONS: dict[str, Callable[[float], dict[str, Any]]] = {
    **dict.fromkeys(("amqp", "amqps", "pyamqp"), _amqp_options),
    **dict.fromkeys(("redis", "redis+socket", "rediss", "sentinel"), _redis_options),
    "sqs": _sqs_options,
    "confluentkafka": _kafka_options,
}
