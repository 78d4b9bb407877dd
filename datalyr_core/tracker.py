"""The tracker: one visitor in one request. It knows who; it never does I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datalyr_core import calls
from datalyr_core.attribution import page_properties, request_properties
from datalyr_core.config import Config
from datalyr_core.encoding import snapshot
from datalyr_core.errors import InvalidEvent
from datalyr_core.event import DropReason, Event, Timestamp
from datalyr_core.identity import visitor_cookie
from datalyr_core.response import Header, may_set_cookie, sets_cookie
from datalyr_core.visitor import Visitor
from datalyr_core.web_request import PENDING, WebRequest

if TYPE_CHECKING:
    from datalyr_core.client import Datalyr

Accept = Callable[[Event], Any]
Drop = Callable[[Event, DropReason, str], None]


def _uncounted(event: Event, reason: DropReason, why: str) -> None:
    """Stand in for a client where nobody counts drops."""


class Tracker:
    """Track events of the visitor of one request.

    A plugin makes it, and it does nothing until it is asked: the cookie is parsed, consent
    is read and the user is looked up when the first event is tracked. Calls return the
    event id, or None when the event was dropped; they raise nothing.
    """

    __slots__ = (
        "__weakref__",
        "_accept",
        "_config",
        "_drop",
        "_found",
        "_request",
        "_settled",
        "_used",
        "_visitor",
        "_waiting",
        "client",
    )

    def __init__(
        self,
        request: WebRequest,
        config: Config,
        accept: Accept,
        drop: Drop = _uncounted,
        client: Datalyr | None = None,
    ) -> None:
        """Bind a tracker to a request.

        Args:
            request: The request, as its plugin tells it.
            config: The client's configuration.
            accept: Takes each event.
            drop: Told of each event that is refused, with the reason and its explanation.
            client: The client behind `accept`, for the attribute of that name.
        """
        self._request = request
        self._config = config
        self._accept = accept
        self._drop = drop
        self._visitor = Visitor(request, config)
        self._waiting: list[tuple[Event, bool]] = []  # with: lacks its user
        self._found: str | None = None
        self._settled = False
        self._used = False
        self.client = client

    @property
    def allowed(self) -> bool:
        """Tell whether this visitor may be tracked: no opt-out, no privacy signal."""
        return self._visitor.allowed()

    @property
    def anonymous_id(self) -> str | None:
        """Return the visitor's id, a fresh one if the browser sent none; None if not allowed."""
        self._used = True
        return self._visitor.anonymous_id() if self.allowed else None

    @property
    def user_id(self) -> str | None:
        """Return the user's id, or None when there is none or it is not known yet."""
        user = self._visitor.user_id()
        return None if user is PENDING else user

    @user_id.setter
    def user_id(self, value: object) -> None:
        """Say who the user is; later events of this request carry the id."""
        self._visitor.say_user(value)

    def track(
        self,
        event: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        event_id: str | None = None,
        timestamp: Timestamp = None,
    ) -> str | None:
        """Track an event.

        Args:
            event: The event's name.
            properties: What there is to say of it.
            event_id: The de-duplication key; give a redelivered event the same one.
            timestamp: When it happened, if not now.
        """
        return self._send(
            calls.track, event, properties, event_id=event_id, timestamp=timestamp, label=event
        )

    def identify(
        self, user_id: object = None, traits: Mapping[str, Any] | None = None
    ) -> str | None:
        """Say who the visitor is; later events of this request carry the user id."""
        return self._send(self._identify, user_id, traits, label="$identify")

    def page(
        self, name: str | None = None, properties: Mapping[str, Any] | None = None
    ) -> str | None:
        """Track a page view with this request's URL, referrer and campaign parameters."""
        return self._send(self._page, name, properties, label="$pageview")

    def alias(self, new_user_id: object = None, previous_id: object = None) -> str | None:
        """Tie a new user id to a previous one, by default to the visitor's anonymous id."""
        return self._send(_of_user(calls.alias), new_user_id, previous_id, label="$alias")

    def group(self, group_id: object = None, traits: Mapping[str, Any] | None = None) -> str | None:
        """Say that the visitor belongs to a group."""
        return self._send(calls.group, group_id, traits, label="$group")

    def track_purchase(
        self,
        value: object = None,
        currency: str | None = None,
        properties: Mapping[str, Any] | None = None,
        *,
        event_id: str | None = None,
        timestamp: Timestamp = None,
    ) -> str | None:
        """Track a purchase; `value` is a finite number, `currency` defaults to USD."""
        return self._send(
            calls.track_purchase,
            value,
            currency,
            properties,
            event_id=event_id,
            timestamp=timestamp,
            label="purchase",
        )

    # For plugins

    @property
    def needs_user(self) -> bool:
        """Tell whether events wait for the user to be looked up."""
        return bool(self._waiting)

    def settle(self, user_id: object = None) -> None:
        """Release the events that waited for the user; from here on none will wait.

        Args:
            user_id: What the look-up found, or None.
        """
        if self._waiting:
            self._found = self._visitor.found_user(user_id)
        self._settled = True
        self._release()

    def _release(self) -> None:
        with suppress(IndexError):  # nothing waits, or another thread has just taken it
            while True:
                event, lacks_user = self._waiting.pop(0)
                if lacks_user:
                    event.user_id = self._found
                self._accept(event)

    def cookie_headers(self, status: int, header: Header) -> list[tuple[str, str]]:
        """Decide, when a response starts, which headers give a new visitor an id.

        Args:
            status: The response's status.
            header: Returns a header of the response by its lower-case name, or None; of
                several lines, all with commas between.

        Returns:
            Headers to add; none for a visitor who has an id or may not be tracked.
        """
        config = self._config
        if not config.set_visitor_cookie or not self.allowed or self._visitor.sent_id():
            return []
        if not may_set_cookie(status, header, used=self._used):
            return []
        if sets_cookie(header, config.cookie_name):
            return []
        cookie = visitor_cookie(
            config.cookie_name,
            self._visitor.anonymous_id(),
            domain=config.cookie_domain,
            secure=self._request.secure(),
        )
        private = [] if header("cache-control") else [("Cache-Control", "private")]
        return [("Set-Cookie", cookie), *private]

    # How

    def _send(
        self, call: Callable[..., Event], *args: object, label: object, **kwargs: object
    ) -> str | None:
        """Make the event of a call and pass it on."""
        self._used = True
        name = label if isinstance(label, str) else ""
        if not self.allowed:
            self._drop(Event(name), DropReason.CONSENT, "the visitor is not tracked")
            return None
        user = self._visitor.user_id()
        known = None if user is PENDING else user
        try:
            ids = {"anonymous_id": self._visitor.anonymous_id(), **kwargs}
            event = calls.made(call, known, *args, **ids)
        except InvalidEvent as problem:
            refused = calls.refused(name, user_id=known, anonymous_id=self.anonymous_id)
            self._drop(refused, DropReason.VALIDATION_ERROR, str(problem))
            return None
        for fact, told in request_properties(self._request, self._config.request_context).items():
            event.properties.setdefault(fact, told)
        lacks_user = user is PENDING and event.user_id is None
        if not self._settled and (lacks_user or self._waiting):  # those after one that waits too
            return self._hold(event, lacks_user)
        accepted: str | None = self._accept(event)
        return accepted

    def _hold(self, event: Event, lacks_user: bool) -> str:
        """Keep an event until the user is known; later changes by the caller change nothing."""
        event.properties = snapshot(event.properties)
        if len(self._waiting) >= self._config.max_queue_size:
            oldest, _ = self._waiting.pop(0)
            why = "too many events of one request wait for its user"
            self._drop(oldest, DropReason.QUEUE_OVERFLOW, why)
        self._waiting.append((event, lacks_user))
        if self._settled:  # by another thread, meanwhile
            self._release()
        return event.event_id

    def _identify(self, known: object, *args: object, **ids: object) -> Event:
        event = calls.identify(*args, **ids)
        self._visitor.say_user(event.user_id)  # only now: an identify of nobody changes nothing
        return event

    def _page(self, user_id: object, *args: object, **ids: object) -> Event:
        return calls.page(user_id, *args, known=page_properties(self._request), **ids)


def _of_user(call: Callable[..., Event]) -> Callable[..., Event]:
    """Adapt a call whose first argument names the user: who is known does not matter."""
    return lambda known, *args, **kwargs: call(*args, **kwargs)
