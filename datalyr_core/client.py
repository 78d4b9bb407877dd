"""The client: one per process. It brings the parts of core together."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from datalyr_core import calls, lifecycle
from datalyr_core.config import Config
from datalyr_core.delivery.base import Transport
from datalyr_core.errors import ConfigurationError, InvalidEvent
from datalyr_core.event import DropReason, Event, Timestamp
from datalyr_core.hooks import Hooks
from datalyr_core.identity import new_anonymous_id
from datalyr_core.outbox.memory import MemoryOutbox
from datalyr_core.sender import Sender
from datalyr_core.tracker import Tracker
from datalyr_core.web_request import WebRequest, excluded

logger = logging.getLogger("datalyr")

Properties = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Stats:
    """Count what became of events.

    Attributes:
        accepted: Taken in.
        delivered: Taken by the ingest.
        retried: Sends that were tried again.
        waiting: Accepted, and neither delivered nor dropped yet.
        dropped: Given up, by reason; 0 of a reason that has not occurred.
    """

    accepted: int
    delivered: int
    retried: int
    waiting: int
    dropped: Mapping[str, int]


class Datalyr:
    """Send events to Datalyr from this process.

    Calls return the event id at once, or None when the event was dropped; they wait for
    nothing and raise nothing. Delivery happens in background threads, which start with the
    first event. After a fork the child begins anew: what waits stays with the parent.
    """

    def __init__(self, api_key: str | Config | None = None, **options: Any) -> None:
        """Make a client.

        Args:
            api_key: The key (`dk_…`), or a whole `Config`.
            **options: The options of `Config`.

        Raises:
            ConfigurationError: Something is wrong with the options; it names everything.
        """
        if isinstance(api_key, Config):
            self.config = Config.from_mapping(vars(api_key), **options) if options else api_key
        else:
            given = {} if api_key is None else {"api_key": api_key}
            self.config = Config.from_mapping(options, **given)
        self._closed = False
        self._fork_lock = threading.RLock()
        self._finalizer = weakref.finalize(self, int)  # of no sender yet
        self._begin()
        if self.config.enabled:
            _warn_of_twin(self.config)
            lifecycle.register(self, self._sender)

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Make a client from the environment's `DATALYR_<OPTION>` variables.

        Args:
            **options: Options that win over the environment's.

        Raises:
            ConfigurationError: Something is wrong with the options; it names everything.
        """
        return cls(Config.from_env(**options))

    def __repr__(self) -> str:
        """Show the configuration, without the key."""
        return f"<{type(self).__name__} {self.config!r}>"

    # Calls

    def track(
        self,
        user_id: object = None,
        event: str | None = None,
        properties: Properties = None,
        *,
        anonymous_id: object = None,
        event_id: str | None = None,
        timestamp: Timestamp = None,
    ) -> str | None:
        """Track an event.

        Args:
            user_id: The user, if known: a string, an int or a UUID.
            event: The event's name.
            properties: What there is to say of it.
            anonymous_id: The visitor's id; a fresh one by default.
            event_id: The de-duplication key; give a redelivered event the same one.
            timestamp: When it happened, if not now: ISO 8601, epoch seconds, a datetime.
        """
        return self._call(
            calls.track,
            event,
            user_id=user_id,
            event=event,
            properties=properties,
            anonymous_id=anonymous_id,
            event_id=event_id,
            timestamp=timestamp,
        )

    def identify(
        self, user_id: object = None, traits: Properties = None, *, anonymous_id: object = None
    ) -> str | None:
        """Say who a user is: their traits, and which visitor they are."""
        return self._call(
            calls.identify, "$identify", user_id=user_id, traits=traits, anonymous_id=anonymous_id
        )

    def page(
        self,
        user_id: object = None,
        name: str | None = None,
        properties: Properties = None,
        *,
        anonymous_id: object = None,
    ) -> str | None:
        """Track a page view; give its URL as the property `url`."""
        return self._call(
            calls.page,
            "$pageview",
            user_id=user_id,
            name=name,
            properties=properties,
            anonymous_id=anonymous_id,
        )

    def alias(
        self,
        new_user_id: object = None,
        previous_id: object = None,
        *,
        anonymous_id: object = None,
    ) -> str | None:
        """Tie a new user id to a previous id, by default to the visitor's."""
        return self._call(
            calls.alias,
            "$alias",
            new_user_id=new_user_id,
            previous_id=previous_id,
            anonymous_id=anonymous_id,
        )

    def group(
        self,
        user_id: object = None,
        group_id: object = None,
        traits: Properties = None,
        *,
        anonymous_id: object = None,
    ) -> str | None:
        """Say that a user belongs to a group."""
        return self._call(
            calls.group,
            "$group",
            user_id=user_id,
            group_id=group_id,
            traits=traits,
            anonymous_id=anonymous_id,
        )

    def track_purchase(
        self,
        user_id: object = None,
        value: object = None,
        currency: str | None = None,
        properties: Properties = None,
        *,
        anonymous_id: object = None,
        event_id: str | None = None,
        timestamp: Timestamp = None,
    ) -> str | None:
        """Track a purchase; `value` is a finite number, `currency` defaults to USD."""
        return self._call(
            calls.track_purchase,
            "purchase",
            user_id=user_id,
            value=value,
            currency=currency,
            properties=properties,
            anonymous_id=anonymous_id,
            event_id=event_id,
            timestamp=timestamp,
        )

    def get_anonymous_id(self) -> str:
        """Make a fresh anonymous id, for a visitor whose id you keep yourself."""
        return new_anonymous_id()

    # Requests

    def tracker(self, request: WebRequest) -> Tracker:
        """Make the tracker of a request."""
        return Tracker(request, self.config, self._accept, self._drop, self)

    def excludes(self, request: WebRequest) -> bool:
        """Tell whether the option `exclude` names a request."""
        exclude = self.config.exclude
        return bool(exclude) and excluded(request, exclude)

    # Delivery

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was accepted is delivered or dropped.

        It gives up when a whole pass over what waits delivers nothing.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            True when everything was delivered.
        """
        self._notice_fork()
        return self._sender.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what waits, within a time, and end for good.

        What is left then is dropped as `close_timeout`. Calling it again is harmless, and
        callers at the same time wait for the same end.

        Args:
            timeout: Seconds; the option `close_timeout` by default.

        Returns:
            True when everything was delivered.
        """
        self._notice_fork()
        deadline = time.monotonic() + (self.config.close_timeout if timeout is None else timeout)
        self._closed = True
        sender = self._sender
        clean = sender.stop(deadline)
        # It may have been opened again meanwhile, with a sender that has to be looked after.
        lifecycle.forget(self if sender is self._sender else None, sender)
        return clean

    def reopen(self) -> None:
        """Begin anew after `close`, for an application that is started again in one process.

        Counts begin at 0. A client that is open stays as it is.
        """
        with self._fork_lock:
            if self._closed:
                self._begin()
                self._closed = False
                if self.config.enabled:
                    lifecycle.register(self, self._sender)

    async def aflush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as flush
        """Do as `flush`, without blocking the event loop."""
        return await _in_thread(self.flush, timeout)

    async def aclose(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as close
        """Do as `close`, without blocking the event loop."""
        clean = await _in_thread(self.close, timeout)
        lifecycle.release_sigterm()  # the thread could not
        return clean

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client without blocking the event loop."""
        await self.aclose()

    @property
    def closed(self) -> bool:
        """Tell whether `close` was called."""
        return self._closed

    @property
    def stats(self) -> Stats:
        """Count what became of this process's events so far; each count by itself."""
        self._notice_fork()
        return Stats(
            accepted=self._outbox.accepted,
            delivered=self._sender.delivered,
            retried=self._sender.retried,
            waiting=len(self._outbox),
            dropped=self._hooks.dropped(),
        )

    # How

    def _begin(self) -> None:
        """Make the parts; again in a forked child, where none of the parent's may be used."""
        self._hooks = Hooks(self.config)
        self._outbox = MemoryOutbox(self.config.max_queue_size)
        transport, close = _transport(self.config)
        self._sender = Sender(self.config, self._outbox, transport, self._hooks, close)
        # A client that is forgotten must not keep its threads; see Sender.retire.
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, self._sender.retire)
        self._finalizer.atexit = False
        self._pid = os.getpid()  # last: only now is everything this process's own

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._fork_lock = threading.RLock()  # another thread of the parent may have held it
        self._renew()

    def _renew(self) -> None:
        self.config = _without_inherited_client(self.config)
        self._begin()
        if self.config.enabled and not self._closed:
            lifecycle.register(self, self._sender)

    def _notice_fork(self) -> None:
        """Notice a fork that ran no fork hooks, as uWSGI's does not."""
        if self._pid != os.getpid():
            with self._fork_lock:
                if self._pid != os.getpid():  # pragma: no branch - or another thread was first
                    lifecycle.notice_fork()
                    self._renew()

    def _call(self, call: Callable[..., Event], name: object, /, **told: object) -> str | None:
        try:
            event = calls.made(call, **told)
        except InvalidEvent as problem:
            refused = calls.refused(name, **told)
            self._drop(refused, DropReason.VALIDATION_ERROR, str(problem))
            return None
        if event.user_id is None and _is_absent(told["anonymous_id"]) and self.config.enabled:
            self._hooks.warn_once(
                "an event has neither a user id nor an anonymous id, so it belongs to nobody"
            )
        return self._accept(event)

    def _accept(self, event: Event) -> str | None:
        """Take an event in; the end of every call, and the only way into the outbox."""
        if not self.config.enabled:
            return event.event_id
        self._notice_fork()
        if self._closed:
            self._drop(event, DropReason.CLOSED, "the client is closed; close it at the very end")
            return None
        changed = self._hooks.before_send(event)
        if changed is None:
            self._drop(event, DropReason.BEFORE_SEND, "before_send returned None")
            return None
        try:
            body = changed.to_body()
        except Exception as error:  # before_send can put in a mapping that raises
            kind = f"the event cannot be encoded ({type(error).__name__})"
            self._drop(event, DropReason.VALIDATION_ERROR, kind)
            return None
        if self.config.debug:
            logger.debug("tracked %r", body)
        return changed.event_id if self._sender.put(body) else None

    def _drop(self, event: Event, reason: DropReason, why: str) -> None:
        if self.config.enabled:
            # The bad value differs from call to call; what is wrong with it is said once.
            self._hooks.drop([event], reason, why, kind=why.partition(", not ")[0])


def _is_absent(anonymous_id: object) -> bool:
    return anonymous_id is None or (isinstance(anonymous_id, str) and not len(anonymous_id))


_twins_warned: set[str] = set()


def _warn_of_twin(config: Config) -> None:
    """Say once that a process has two clients of one key: a client per call costs threads."""
    key = config.api_key or ""
    twins = (other for other in lifecycle.clients() if other.config.api_key == key)
    if config.transport == "httpx" and key not in _twins_warned and any(twins):
        _twins_warned.add(key)
        logger.warning("this process has another client with the same key; one is enough")


def _transport(config: Config) -> tuple[Transport, Callable[[], Any]]:
    """Make the transport, and what closes it if it is ours to close."""
    if config.transport != "httpx":
        given: Transport = config.transport
        return given, lambda: None
    # Imported only where it is needed, and never by a thread: a fork in the middle of an
    # import leaves the child with a module that is never finished.
    from datalyr_core.delivery.http import HttpTransport

    try:
        transport = HttpTransport(config)
    except Exception as error:  # a proxy or certificates that the environment names wrongly
        raise ConfigurationError(
            f"Datalyr cannot start:\n  - HTTP to {config.host} cannot be set up "
            f"({type(error).__name__}: {error}); check the environment's HTTPS_PROXY, "
            "ALL_PROXY and SSL_CERT_FILE"
        ) from error
    return transport, transport.close


def _without_inherited_client(config: Config) -> Config:
    if config.http_client is None:
        return config
    logger.warning(
        "http_client was made before a fork and its connections are the parent's; "
        "this process uses a client of its own"
    )
    return replace(config, http_client=None)


async def _in_thread(wait: Callable[[float | None], bool], timeout: float | None) -> bool:  # noqa: ASYNC109 - it is passed on
    import anyio.to_thread  # heavy, and no use to synchronous applications

    # A place of its own: the application's threads may all be taken.
    own_place = anyio.CapacityLimiter(1)
    return await anyio.to_thread.run_sync(wait, timeout, limiter=own_place)
