"""The tracker: one visitor in one request. It knows who; it never does I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from datalyr_core import calls
from datalyr_core.attribution import page_properties, request_properties
from datalyr_core.encoding import snapshot
from datalyr_core.event import DropReason, Event
from datalyr_core.identity import visitor_cookie
from datalyr_core.response import Header, may_set_cookie, sets_cookie
from datalyr_core.verbs import Verbs
from datalyr_core.visitor import Facts, Visitor
from datalyr_core.warn_once import warn_once
from datalyr_core.web_request import PENDING, WebRequest

if TYPE_CHECKING:
    from datalyr_core.client import Datalyr
    from datalyr_core.config import Config
    from datalyr_core.deferred import Claim

logger = logging.getLogger("datalyr.tracker")

Accept = Callable[[Event], Any]
Drop = Callable[[Event, DropReason, str], None]


def _uncounted(event: Event, reason: DropReason, why: str) -> None:
    """Stand in for a client where nobody counts drops."""


class Tracker(Verbs):
    """Track events of the visitor of one request.

    A plugin makes it, and it does nothing until it is asked: the cookie is parsed, consent
    is read and the user is looked up when the first event is tracked. Calls return the
    event id, or None when the event was dropped; they raise nothing.

    Attributes:
        claim: The last one of an identify that waits.
        client: The client behind it, if there is one.
        facts: What is known of the visitor. It holds nothing of the request.
        request: The request, as its plugin tells it.
    """

    __slots__ = (
        "__weakref__",
        "_accept",
        "_config",
        "_drop",
        "_found",
        "_settled",
        "_visitor",
        "_waiting",
        "claim",
        "client",
        "facts",
        "request",
    )

    def __init__(
        self,
        request: WebRequest,
        config: Config,
        accept: Accept,
        drop: Drop = _uncounted,
        client: Datalyr | None = None,
        facts: Facts | None = None,
    ) -> None:
        """Bind a tracker to a request.

        Args:
            request: The request, as its plugin tells it.
            config: The client's configuration.
            accept: Takes each event.
            drop: Told of each event that is refused, with the reason and its explanation.
            client: The client behind `accept`, for the attribute of that name.
            facts: Those of an earlier tracker of this very request.
        """
        self.request = request
        self._config = config
        self._accept = accept
        self._drop = drop
        self._visitor: Visitor | None = None  # nobody asks for it in most requests
        self.facts: Facts = {} if facts is None else facts
        self._waiting: list[tuple[Event, bool]] = []  # with: lacks its user
        self._found: Any = PENDING
        self._settled = False
        self.claim: Claim | None = None
        self.client = client

    @property
    def allowed(self) -> bool:
        """Tell whether this visitor may be tracked: no opt-out, no privacy signal."""
        return self._who().allowed()

    @property
    def anonymous_id(self) -> str | None:
        """Return the visitor's id, a fresh one if the browser sent none; None if not allowed."""
        self.facts["used"] = True
        return self._who().tracked_id()

    @property
    def user_id(self) -> str | None:
        """Return the user's id, or None when there is none or it is not known yet."""
        user = self.user()
        return None if user is PENDING else user

    @user_id.setter
    def user_id(self, value: object) -> None:
        """Say who the user is; later events of this request carry the id."""
        self._who().say_user(value)

    # For plugins

    @property
    def sets_cookie(self) -> bool:
        """Tell whether `cookie_headers` may have any for some visitor."""
        return self._config.set_visitor_cookie

    def user(self) -> Any:
        """Return the user's id, None, or `PENDING` where only an await could tell."""
        return self._who().user_id()

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
            self._found = self._who().found_user(user_id)
        self._settled = True
        if self._waiting:
            self._release()

    def settle_so_far(self, user_id: object) -> None:
        """Release the events that waited for a user who is about to be another; more may wait.

        Args:
            user_id: Who the user was until now, or None.
        """
        self._found = self._who().as_user(user_id)
        self._release()
        self._found = PENDING

    def _release(self) -> None:
        with suppress(IndexError):  # nothing waits, or another thread has just taken it
            while True:
                event, lacks_user = self._waiting.pop(0)
                if lacks_user:
                    event.user_id = self._found_user()
                self._accept(event)

    def _found_user(self) -> str | None:
        """Return the user whom the request's end has found, if anybody was looked for."""
        if self._found is PENDING:
            _warn_of_lost_user()
            return None
        found: str | None = self._found
        return found

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
        if not config.set_visitor_cookie or not self.allowed or self._who().sent_id():
            return []
        if not may_set_cookie(status, header, used="used" in self.facts):
            return []
        if sets_cookie(header, config.cookie_name):
            return []
        cookie = visitor_cookie(
            config.cookie_name,
            self._who().anonymous_id(),
            domain=config.cookie_domain,
            secure=self.request.secure(),
        )
        private = [] if header("cache-control") else [("Cache-Control", "private")]
        return [("Set-Cookie", cookie), *private]

    def made(
        self, call: Callable[..., Event], name: object, told: tuple[Any, ...]
    ) -> tuple[Event, Any] | None:
        """Make the event of a call.

        Args:
            call: One of those in `datalyr_core.calls`.
            name: The event's name, as far as it is one.
            told: The call's arguments, without who the visitor is.

        Returns:
            The event, without a user unless the call names one, and who the user is:
            `PENDING` if finding out needs an await. None when the event was dropped.
        """
        self.facts["used"] = True
        visitor = self._who()
        anonymous_id = visitor.tracked_id()
        if anonymous_id is None:
            self._drop(calls.refused(name), DropReason.CONSENT, "the visitor is not tracked")
            return None
        user = visitor.user_id()
        if call is calls.page:
            told = (*told, page_properties(self.request))
        try:
            event = call(*told, anonymous_id=anonymous_id)
        except Exception as error:
            known = None if user is PENDING else user
            refused = calls.refused(name, user_id=known, anonymous_id=anonymous_id)
            self._drop(refused, DropReason.VALIDATION_ERROR, calls.reason(error))
            return None
        if wanted := self._config.request_context:
            for fact, value in request_properties(self.request, wanted).items():
                event.properties.setdefault(fact, value)
        return event, user

    def pass_on(self, event: Event, user: Any) -> str | None:
        """Hand an event to the client, or let it wait for its user.

        Args:
            event: The event.
            user: The user's id, if the event itself has none; None; or `PENDING`.

        Returns:
            The event id, or None when the client has dropped the event.
        """
        lacks_user = event.user_id is None and user is PENDING
        if event.user_id is None and not lacks_user:
            event.user_id = user
        if (lacks_user or self._waiting) and not self._settled:  # those after one that waits too
            return self._hold(event, lacks_user)
        if lacks_user:
            event.user_id = self._found_user()
        accepted: str | None = self._accept(event)
        return accepted

    # How

    def _who(self) -> Visitor:
        visitor = self._visitor
        if visitor is None:  # two threads may make one each, of the same facts
            visitor = self._visitor = Visitor(self.request, self._config, self.facts)
        return visitor

    def _send(self, call: Callable[..., Event], name: object, told: tuple[Any, ...]) -> str | None:
        made = self.made(call, name, told)
        if made is None:
            return None
        event, user = made
        if call is calls.identify:  # only now: an identify of nobody changes nothing
            self._who().say_user(event.user_id)
        return self.pass_on(event, user)

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


def _warn_of_lost_user() -> None:
    warn_once(
        logger,
        "an event that was tracked after its request has no user id, since looking the user up "
        "needs an await; let the view look the user up, or set request.datalyr.user_id",
    )
