"""The options as type checkers should know them; `Config` says what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from datalyr_core.delivery.base import Transport
    from datalyr_core.event import Event


class Options(TypedDict, total=False):
    """Name the options, apart from the key. For annotations alone."""

    host: str
    flush_at: int
    flush_interval: float
    timeout: float
    retry_limit: int
    max_queue_size: int
    close_timeout: float
    exit_timeout: float
    broker: str | None
    broker_queue: str
    concurrency: int
    debug: bool
    enabled: bool
    on_error: Callable[[Event, Exception], Any] | None
    on_drop: Callable[[Sequence[Event], str], Any] | None
    before_send: Callable[[Event], Event | None] | None
    transport: Transport | str
    http_client: Any
    outbox: str
    outbox_max_events: int
    outbox_max_bytes: int
    cookie_name: str
    anonymous_id_header: str | None
    user_id: Callable[[Any], Any] | None
    respect_opt_out: bool
    respect_gpc: bool
    respect_dnt: bool
    set_visitor_cookie: bool
    cookie_domain: str | None
    request_context: Iterable[str]
    exclude: Iterable[str] | Callable[[Any], Any]
    workspace_id: str | int | None


class AllOptions(Options, total=False):
    """Name the options. For annotations alone."""

    api_key: str | None
