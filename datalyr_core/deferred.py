"""Events that wait until what they tell of is certain, as a transaction is by its commit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from datalyr_core import calls
from datalyr_core.encoding import snapshot
from datalyr_core.event import Event
from datalyr_core.tracker import Tracker
from datalyr_core.verbs import Verbs

Later = Callable[[Callable[[], None]], Any]


class Claim:
    """Hold who the user is, by a word of the application that is not certain yet.

    Attributes:
        user_id: Who it is.
        instead_of: Who it was before; whoever has been named since counts more.
        earlier: The claim before this one.
        confirmed: Whether it has become certain.
    """

    __slots__ = ("confirmed", "earlier", "instead_of", "user_id")

    def __init__(self, user_id: str | None, instead_of: Any, earlier: Claim | None) -> None:
        """Make a claim."""
        self.user_id = user_id
        self.instead_of = instead_of
        self.earlier = earlier
        self.confirmed = False

    def confirm(self, tracker: Tracker) -> None:
        """Let the claim count for the rest of the request."""
        self.confirmed = True
        if tracker.user() == self.instead_of:
            tracker.user_id = self.user_id


class DeferredTracker(Verbs):
    """Track for another tracker, but only once something is certain.

    An event is made at the call: its id, its time, what its properties were and who the
    visitor is. Whom `identify` names is the user of the events that wait with it, and of
    the rest of the request once it is certain.
    """

    __slots__ = ("_find", "_tracker")

    def __init__(self, tracker: Tracker, find: Callable[[], Later | None]) -> None:
        """Bind to a tracker.

        Args:
            tracker: The request's tracker.
            find: Returns what takes a function to be called later, or not at all; None
                where there is nothing to wait for.
        """
        self._tracker = tracker
        self._find = find

    def _send(self, call: Callable[..., Event], name: object, told: tuple[Any, ...]) -> str | None:
        later = self._find()
        if later is None:
            return self._tracker._send(call, name, told)
        made = self._tracker.made(call, name, told)
        if made is None:
            return None
        event, user = made
        event.properties = snapshot(event.properties)
        claim = self._tracker.claim
        if call is calls.identify:
            claim = self._tracker.claim = Claim(event.user_id, user, claim)
            later(partial(claim.confirm, self._tracker))
        later(partial(self._pass_on, event, user, claim))
        return event.event_id

    def _pass_on(self, event: Event, user: Any, claim: Claim | None) -> None:
        while claim is not None and not (claim.confirmed and claim.instead_of == user):
            claim = claim.earlier
        self._tracker.pass_on(event, user if claim is None else claim.user_id)
