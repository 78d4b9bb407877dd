"""The client: one per process. It brings the parts of core together."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from copy import copy
from types import TracebackType
from typing import Any, Self, Unpack

from datalyr_core import calls, lifecycle, recording
from datalyr_core import options as checks
from datalyr_core.async_waits import wait_in_thread
from datalyr_core.backpressure import Backpressure
from datalyr_core.client_verbs import ClientVerbs
from datalyr_core.config import Config
from datalyr_core.delivery.choice import AnyTransport, inherited_transport_of, transport_of
from datalyr_core.errors import shown
from datalyr_core.event import DropReason, Event
from datalyr_core.hooks import Hooks
from datalyr_core.identity import new_anonymous_id
from datalyr_core.option_types import AllOptions, Options
from datalyr_core.outbox.choice import outbox_of
from datalyr_core.sender import Sender
from datalyr_core.stats import Stats
from datalyr_core.tracker import Tracker
from datalyr_core.visitor import Facts
from datalyr_core.warn_once import warn_once
from datalyr_core.web_request import WebRequest, excluded

logger = logging.getLogger("datalyr")


class Datalyr(ClientVerbs):
    """Send events to Datalyr from this process.

    Calls return the event id at once, or None when the event was dropped; they wait for
    nothing and raise nothing. Delivery happens in background threads, which start with the
    first event. After a fork the child begins anew: what waits stays with the parent.
    """

    def __init__(self, api_key: str | Config | None = None, **options: Unpack[Options]) -> None:
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
        self._backpressure = Backpressure()
        self._finalizer = weakref.finalize(self, int)  # of no sender yet
        self._begin(*transport_of(self.config))
        if self.config.enabled:
            _warn_of_twin(self.config)
            lifecycle.register(self, self._sender)

    @classmethod
    def from_env(cls, **options: Unpack[AllOptions]) -> Self:
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

    def get_anonymous_id(self) -> str:
        """Make a fresh anonymous id, for a visitor whose id you keep yourself."""
        return new_anonymous_id()

    # Requests

    def tracker(
        self,
        request: WebRequest,
        *,
        kind: type[Tracker] = Tracker,
        facts: Facts | None = None,
    ) -> Tracker:
        """Make the tracker of a request.

        Args:
            request: The request.
            kind: The plugin's own kind of tracker, if it has one.
            facts: Those of an earlier tracker of this very request.
        """
        return kind(request, self.config, self._accept, self._drop, self, facts)

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
            True when everything was delivered. False, at once, within a signal's handler that
            has interrupted `track`.
        """
        self._notice_fork()
        seconds = self._seconds("flush", timeout, None)
        with self._backpressure.lifted():
            return self._sender.flush(seconds)

    def drain(self, timeout: float | None = None) -> bool:
        """Deliver also what processes that have ended left in a durable outbox, and wait for it.

        A client that tracks something does so in any case, and waits for none of it.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            True when everything was delivered; what living processes have is theirs.
        """
        if not self.config.enabled:
            return True
        self._notice_fork()
        seconds = self._seconds("drain", timeout, None)
        with self._backpressure.lifted():
            return self._sender.drain(seconds)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what waits, within a time, and end for good.

        What is left then is dropped as `close_timeout`; in a durable outbox it stays, for
        others to deliver. Calling it again is harmless, and
        callers at the same time wait for the same end.

        Args:
            timeout: Seconds; the option `close_timeout` by default.

        Returns:
            True when everything was delivered. False, at once, within a signal's handler that
            has interrupted `track`: it closes in another thread then.
        """
        self._notice_fork()
        if self._sender.is_locked_here:
            # Another thread can wait. Where none can start, the end of the process delivers.
            with suppress(RuntimeError):
                threading.Thread(target=self.close, args=(timeout,), name="datalyr-close").start()
            return False
        seconds = self._seconds("close", timeout, self.config.close_timeout)
        self._closed = True
        sender = self._sender
        with self._backpressure.lifted():
            clean = sender.stop(time.monotonic() + (seconds or 0.0))
        # It may have been opened again meanwhile, with a sender that has to be looked after.
        lifecycle.forget(self if sender is self._sender else None, sender)
        return clean

    def reopen(self) -> None:
        """Begin anew after `close`, for an application that is started again in one process.

        Counts begin at 0. A client that is open stays as it is.
        """
        with self._fork_lock:
            if self._closed:
                self._begin(*transport_of(self.config))
                self._closed = False
                if self.config.enabled:
                    lifecycle.register(self, self._sender)

    def backpressure(self, timeout: float | None = None) -> AbstractContextManager[None]:
        """Let this thread's calls wait for room in the queue instead of dropping the oldest.

        For scripts that track faster than the ingest takes events; a thread at a time. It
        concerns this client's own calls, not those of `request.datalyr`, and ends when the
        client is closed. In a thread that runs an event loop nothing waits: use a thread.

        Args:
            timeout: Seconds that a call waits at most; after that the oldest event is
                dropped as ever. As long as it takes by default.

        Returns:
            A context manager.
        """
        return self._backpressure.applied(self._seconds("backpressure", timeout, None))

    async def aflush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as flush
        """Do as `flush`, without blocking the event loop."""
        return await wait_in_thread(self.flush, timeout)

    async def aclose(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as close
        """Do as `close`, without blocking the event loop."""
        clean = await wait_in_thread(self.close, timeout)
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
        with self._backpressure.lifted():
            return Stats(
                accepted=self._outbox.accepted,
                taken_over=self._outbox.taken_over,
                delivered=self._sender.delivered,
                retried=self._sender.retried,
                waiting=self._outbox.held + self._outbox.kept,
                dropped=self._hooks.dropped(),
            )

    # How

    def _begin(self, transport: AnyTransport, close_transport: Callable[[], Any]) -> None:
        """Make the parts; again in a forked child, where none of the parent's may be used."""
        self._hooks = Hooks(self.config)
        self._outbox = outbox_of(self.config)
        self._sender = Sender(self.config, self._outbox, transport, self._hooks, close_transport)
        # A client that is forgotten must not keep its threads; see Sender.retire.
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, self._sender.retire)
        self._finalizer.atexit = False
        self._pid = os.getpid()  # last: only now is everything this process's own

    def before_fork(self) -> None:
        """Hold what a child must not find in the middle of something, or open."""
        self._outbox.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._outbox.after_fork()

    def after_fork(self) -> None:
        """Begin anew in a forked child."""
        self._fork_lock = threading.RLock()  # another thread of the parent may have held it
        if self._renew():
            _warn_of_inherited_client()

    def _renew(self) -> bool:
        """Make everything anew; tell whether `http_client` had to be left to the parent."""
        config = self.config
        self.config = _without_http_client(config)
        self._outbox.disown()
        self._begin(*inherited_transport_of(self.config))
        if self.config.enabled and not self._closed:
            lifecycle.register(self, self._sender)
        return config is not self.config

    def _notice_fork(self) -> None:
        """Notice a fork that ran no fork hooks, as uWSGI's does not."""
        if self._pid != os.getpid():
            inherited = False
            with self._fork_lock:
                if self._pid != os.getpid():  # pragma: no branch - or another thread was first
                    lifecycle.notice_fork()
                    inherited = self._renew()
            if inherited:  # no lock is held: a handler of the log may do anything
                _warn_of_inherited_client()

    def _call(self, call: Callable[..., Event], name: object, told: dict[str, Any]) -> str | None:
        try:
            event = call(**told)
        except Exception as error:
            refused = calls.refused(name, **told)
            self._drop(refused, DropReason.VALIDATION_ERROR, calls.reason(error))
            return None
        if event.user_id is None and _is_absent(told["anonymous_id"]) and self.config.enabled:
            self._hooks.warn_once(
                "an event has neither a user id nor an anonymous id, so it belongs to nobody"
            )
        if self._backpressure.in_use and self._backpressure.applies:
            return self._accept_with_room(event)
        return self._accept(event)

    def _accept_with_room(self, event: Event) -> str | None:
        wait = self._backpressure.wait
        with self._backpressure.lifted():  # a finalizer that tracks must not wait within this
            if wait is not None and self.config.enabled and not self._in_event_loop():
                self._notice_fork()
                self._sender.wait_for_room(wait.seconds)
            return self._accept(event)

    def _in_event_loop(self) -> bool:
        """Tell, with a warning, whether waiting here would stop an event loop."""
        asyncio: Any = sys.modules.get("asyncio")  # heavy, and no use to synchronous scripts
        try:
            asyncio.get_running_loop()
        except (AttributeError, RuntimeError):  # never imported, or not running here
            return False
        self._hooks.warn_once(
            "backpressure() does not wait in a thread that runs an event loop; "
            "track in another, by asyncio.to_thread for example"
        )
        return True

    def _seconds(self, call: str, timeout: object, default: float | None) -> float | None:
        """Return a caller's time-out; the default, with one warning, if it is no number."""
        seconds = None if timeout is None else checks.time_out(timeout)
        if seconds is None and timeout is not None:
            self._hooks.warn_once(
                f"{call}(timeout={shown(timeout)}) is no number of seconds; the default is used",
                kind=f"{call}: time-out",
            )
        return default if seconds is None else max(seconds, 0.0)

    def _accept(self, event: Event) -> str | None:
        """Take an event in; the end of every call, and the only way into the outbox."""
        config = self.config
        if not config.enabled and not recording.is_active():
            return event.event_id
        if self._pid != os.getpid():
            self._notice_fork()
        if self._closed:
            self._drop(event, DropReason.CLOSED, "the client is closed; close it at the very end")
            return None
        changed = event if config.before_send is None else self._hooks.before_send(event)
        if changed is None:
            self._drop(event, DropReason.BEFORE_SEND, "before_send returned None")
            return None
        try:
            body = changed.to_body()
        except Exception as error:  # before_send can put in a mapping that raises
            kind = f"the event cannot be encoded ({type(error).__name__})"
            self._drop(event, DropReason.VALIDATION_ERROR, kind)
            return None
        if config.debug:
            logger.debug("tracked %r", body)
        return changed.event_id if self._put(body) else None

    def _put(self, body: bytes) -> bool:
        """Pass an encoded event on; False if it was dropped."""
        if recording.active and recording.take(body):
            return True
        # Not even if the recording has ended since the client, which is off, was asked.
        return not self.config.enabled or self._sender.put(body)

    def _drop(self, event: Event, reason: DropReason, why: str) -> None:
        recording.lose(event, reason, why)
        if self.config.enabled:
            # The bad value differs from call to call; what is wrong with it is said once.
            self._hooks.drop([event], reason, why, kind=why.partition(", not ")[0])


def _is_absent(anonymous_id: object) -> bool:
    return anonymous_id is None or (isinstance(anonymous_id, str) and not len(anonymous_id))


def _warn_of_twin(config: Config) -> None:
    """Say once that a process has two clients of one key: a client per call costs threads."""
    key = config.api_key or ""
    twins = (other for other in lifecycle.clients() if other.config.api_key == key)
    if isinstance(config.transport, str) and any(twins):
        said = "this process has another client with the same key; one is enough"
        warn_once(logger, said, kind=f"twin of {key}")


def _without_http_client(config: Config) -> Config:
    if config.http_client is None:
        return config
    changed = copy(config)  # `replace` would check everything again, and warn again
    object.__setattr__(changed, "http_client", None)
    return changed


def _warn_of_inherited_client() -> None:
    logger.warning(
        "http_client was made before a fork and its connections are the parent's; "
        "this process uses a client of its own"
    )
