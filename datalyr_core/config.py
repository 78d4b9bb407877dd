"""The configuration: every option, its default, its bounds, and where it can come from."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from datalyr_core import options
from datalyr_core.errors import ConfigurationError, shown, without_credentials
from datalyr_core.event import Event
from datalyr_core.identity import VISITOR_COOKIE
from datalyr_core.options import Check, Problem

logger = logging.getLogger("datalyr.config")


def _option(default: Any, check: Check) -> Any:
    return field(default=default, metadata={"check": check})


@dataclass(frozen=True, kw_only=True, repr=False)
class Config:
    """Hold every option of a client, checked.

    A number out of its range is clamped, with a warning; a number in a string is taken, so
    that values from the environment work. Times are in seconds.

    Raises:
        ConfigurationError: Names every problem at once, each with what to write instead.
    """

    api_key: str | None = _option(None, options.api_key)
    host: str = _option("https://ingest.datalyr.com/track", options.url)
    flush_at: int = _option(20, options.whole(1, 100))
    flush_interval: float = _option(10.0, options.seconds(1, 3600))
    timeout: float = _option(10.0, options.seconds(1, 60))
    retry_limit: int = _option(3, options.whole(0, 10))
    max_queue_size: int = _option(1000, options.whole(100, 10_000))
    close_timeout: float = _option(30.0, options.seconds(1, 120))
    exit_timeout: float = _option(5.0, options.seconds(0, 60))
    broker: str | None = _option(None, options.optional(options.broker))
    broker_queue: str = _option("datalyr.events", options.queue_name)
    concurrency: int = _option(10, options.whole(1, 100))
    debug: bool = _option(False, options.flag)
    enabled: bool = _option(True, options.flag)
    on_error: Callable[[Event, Exception], Any] | None = _option(None, options.function)
    on_drop: Callable[[Sequence[Event], str], Any] | None = _option(None, options.function)
    before_send: Callable[[Event], Event | None] | None = _option(None, options.function)
    transport: Any = _option("httpx", options.transport)
    http_client: Any = _option(None, options.http_client)
    outbox: str = _option("memory", options.outbox)
    outbox_max_events: int = _option(100_000, options.whole(1_000, 10_000_000))
    outbox_max_bytes: int = _option(64 * 2**20, options.whole(2**20, 64 * 2**30))
    # Of requests
    cookie_name: str = _option(VISITOR_COOKIE, options.token)
    anonymous_id_header: str | None = _option(None, options.optional(options.token))
    user_id: Callable[[Any], Any] | None = _option(None, options.function)
    respect_opt_out: bool = _option(True, options.flag)
    respect_gpc: bool = _option(True, options.flag)
    respect_dnt: bool = _option(False, options.flag)
    set_visitor_cookie: bool = _option(False, options.flag)
    cookie_domain: str | None = _option(None, options.optional(options.domain))
    request_context: tuple[str, ...] = _option(
        (), options.names("url", "path", "referrer", "user_agent", "ip")
    )
    exclude: Any = _option((), options.paths)
    workspace_id: str | None = _option(None, options.optional(options.text))

    NAMES: ClassVar[frozenset[str]]

    def __post_init__(self) -> None:
        """Check every option, so that all problems are in one message."""
        problems = [problem for option in fields(self) if (problem := self._check(option))]
        if self.enabled is True and not self.api_key and "api_key" not in _named(problems):
            problems.insert(0, ("api_key", "is missing; copy it from Datalyr's settings (dk_…)"))
        if self.broker and (self.transport != "httpx" or self.http_client is not None):
            told = "takes the events itself; leave out transport and http_client, or the broker"
            problems.append(("broker", told))
        if self.transport == "fast" and self.http_client is not None:
            told = "posts through httpx; leave out transport='fast', or http_client"
            problems.append(("http_client", told))
        _raise_for(problems)
        if self.api_key and not self.api_key.startswith("dk_"):
            logger.warning("api_key does not start with 'dk_'; is it the right key?")
        if not (self.broker or options.is_private(self.host)):
            logger.warning(
                "host %s is not https: events and the key travel in the clear",
                without_credentials(self.host),
            )

    @property
    def destination(self) -> str:
        """Say in a word where events go from here, for messages."""
        return "the broker" if self.broker else "the ingest"

    def __repr__(self) -> str:
        """Show what differs from the defaults, without the key."""
        changed = (
            f"{option.name}={getattr(self, option.name)!r}"
            for option in fields(self)
            if option.name != "api_key" and getattr(self, option.name) != option.default
        )
        return without_credentials(f"Config({', '.join(('api_key=<hidden>', *changed))})")

    def without_key(self, text: str) -> str:
        """Hide the key and credentials in a text of somebody else's, which goes to a log."""
        text = without_credentials(text)
        return text.replace(self.api_key, "<api_key>") if self.api_key else text

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], **more: Any) -> Config:
        """Make a configuration out of a mapping.

        Args:
            mapping: Option names, in any case, and their values.
            **more: Options that win over the mapping's.

        Raises:
            ConfigurationError: Also for a name that is no option.
        """
        given = {str(name).lower(): value for name, value in {**mapping, **more}.items()}
        problems = [(name, _unknown(name)) for name in given if name not in cls.NAMES]
        try:
            config = cls(**{name: given[name] for name in given if name in cls.NAMES})
        except ConfigurationError as error:
            _raise_for([*problems, *error.problems])
        _raise_for(problems)
        return config

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **more: Any) -> Config:
        """Make a configuration out of the environment's `DATALYR_<OPTION>` variables.

        Args:
            environ: The variables; `os.environ` by default.
            **more: Options that win over the environment's.

        Raises:
            ConfigurationError: As `from_mapping`; other `DATALYR_…` variables are ignored.
        """
        environ = os.environ if environ is None else environ
        found = {
            option.name: environ[name]
            for option in fields(cls)
            if environ.get(name := f"DATALYR_{option.name.upper()}")  # empty is as good as unset
        }
        return cls.from_mapping(found, **more)

    def _check(self, option: Any) -> tuple[str, str] | None:
        """Replace an option's value by the checked one, or say what is wrong with it."""
        value = getattr(self, option.name)
        try:
            checked, warning = option.metadata["check"](value)
        except Problem as problem:
            return option.name, str(problem)
        if warning:
            logger.warning("%s=%s %s", option.name, shown(value), warning)
        object.__setattr__(self, option.name, checked)
        return None


Config.NAMES = frozenset(option.name for option in fields(Config))


def _named(problems: Sequence[tuple[str, str]]) -> set[str]:
    return {name for name, _ in problems}


def _unknown(name: str) -> str:
    import difflib  # for this message alone

    close = difflib.get_close_matches(name, Config.NAMES, n=1)
    return f"is no option{f'; write {close[0]!r}' if close else ''}"


def _raise_for(problems: Sequence[tuple[str, str]]) -> None:
    if problems:
        lines = "".join(f"\n  - {name} {what}" for name, what in problems)
        raise ConfigurationError(f"Datalyr cannot start:{lines}", problems)
