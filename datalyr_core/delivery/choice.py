"""Which transport a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datalyr_core.config import Config
from datalyr_core.delivery.base import BatchTransport, Reply, Transport
from datalyr_core.errors import ConfigurationError, SendRefused, without_credentials

AnyTransport = Transport | BatchTransport


def transport_of(config: Config) -> tuple[AnyTransport, Callable[[], Any]]:
    """Make the transport, and what closes it if it is ours to close.

    Raises:
        ConfigurationError: It cannot be made with what the environment says.
    """
    # By the sender's threads, for `Retry-After`; imported with the first client, not before, and
    # by no thread: a fork in the middle of an import leaves a module that is never finished.
    import email.utils  # noqa: F401 - by `retry`, later

    if not isinstance(config.transport, str):
        given: Transport = config.transport
        return given, lambda: None
    return _through_broker(config) if config.broker else _over_http(config)


def _through_broker(config: Config) -> tuple[AnyTransport, Callable[[], Any]]:
    # As above.
    from datalyr_core.delivery.broker import BrokerTransport

    try:
        transport = BrokerTransport(config)
    except Exception as error:  # a URL that kombu cannot read, or a driver that is missing
        told = config.without_key(f"{type(error).__name__}: {error}")
        raise ConfigurationError(
            f"Datalyr cannot start:\n  - broker cannot be set up ({told}); check the URL, and "
            "that its driver is installed: pip install 'datalyr[broker]' for RabbitMQ and "
            "Redis, 'kombu[sqs]' or 'kombu[confluentkafka]' for the others"
        ) from None
    return transport, transport.close


def _over_http(config: Config) -> tuple[AnyTransport, Callable[[], Any]]:
    # As above.
    from datalyr_core.delivery.http import HttpTransport

    engine: Callable[..., Any] | None = None
    try:
        if config.transport == "fast":
            from datalyr_core.delivery.fast import FastEngine

            engine = FastEngine
        transport = HttpTransport(config, engine)
    except Exception as error:  # a proxy or certificates that the environment names wrongly
        told = without_credentials(
            f"HTTP to {config.host} cannot be set up ({type(error).__name__}: {error})"
        )
        # Not `from error`: a traceback would show what it says, a proxy's password perhaps.
        raise ConfigurationError(
            f"Datalyr cannot start:\n  - {told}; check the environment's HTTPS_PROXY, "
            "ALL_PROXY and SSL_CERT_FILE"
        ) from None
    return transport, transport.close


def inherited_transport_of(config: Config) -> tuple[AnyTransport, Callable[[], Any]]:
    """Make the transport of a forked child, where the application is long under way.

    One that cannot be made refuses every event there: nothing is raised into the application.
    The parent may have had no need of it, with an `http_client` that stays with the parent.
    """
    try:
        return transport_of(config)
    except ConfigurationError as problem:
        return _Refusing(str(problem)), lambda: None


class _Refusing:
    """Stand in for a transport that cannot be made."""

    def __init__(self, why: str) -> None:
        self._why = why

    def send(self, body: bytes) -> Reply:
        raise SendRefused(self._why)
