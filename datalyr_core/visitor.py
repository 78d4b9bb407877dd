"""The visitor of one request: may they be tracked, which id is theirs, which user are they.

Each question is answered from the request the first time that it is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from datalyr_core.calls import clean_id
from datalyr_core.consent import tracking_allowed
from datalyr_core.identity import new_anonymous_id, percent_decoded, read_cookie, usable_id
from datalyr_core.web_request import PENDING, WebRequest, plain

if TYPE_CHECKING:
    from datalyr_core.config import Config

logger = logging.getLogger("datalyr.visitor")

Facts = dict[str, Any]
T = TypeVar("T")


def known_facts(*, allowed: bool, anonymous_id: str, user_id: str | None) -> Facts:
    """Return the facts of a visitor of whom all is known, from another process for example."""
    return {"allowed": allowed, "sent_id": anonymous_id, "said": user_id}


class Visitor:
    """Know who sent a request.

    Attributes:
        facts: What is known by now. It holds nothing of the request, and may outlive it.
    """

    __slots__ = ("_config", "_request", "facts")

    def __init__(self, request: WebRequest, config: Config, facts: Facts | None = None) -> None:
        """Bind to a request; nothing is read yet.

        Args:
            request: The request.
            config: The client's configuration.
            facts: What others have found out of this very request's visitor.
        """
        self._request = request
        self._config = config
        self.facts: Facts = {} if facts is None else facts

    def allowed(self) -> bool:
        """Tell whether the visitor may be tracked."""
        facts = self.facts
        said: bool | None = facts.get("allowed")
        return self._note("allowed", self._read_consent) if said is None else said

    def sent_id(self) -> str | None:
        """Return the id that the client sent, in the cookie or else in the configured header."""
        facts = self.facts
        found: str | None = (
            facts["sent_id"] if "sent_id" in facts else self._note("sent_id", self._read_sent_id)
        )
        return found

    def anonymous_id(self) -> str:
        """Return the id that the client sent, else one fresh id for this request."""
        fresh: str | None = self.sent_id() or self.facts.get("fresh_id")
        return fresh or self._note("fresh_id", new_anonymous_id)

    def tracked_id(self) -> str | None:
        """Return the id of a visitor who may be tracked, None for one who may not."""
        known: str | None = self.facts.get("tracked_id")
        if known is None and self.allowed():
            known = self._note("tracked_id", self.anonymous_id)
        return known

    def user_id(self) -> Any:
        """Return the user's id: what the application said, else what authentication knows.

        Returns:
            The id, None, or `PENDING` when finding out needs an await.
        """
        if "said" in self.facts:
            return self.facts["said"]
        try:
            question = self._config.user_id
            found = self._request.user_id() if question is None else self._request.ask(question)
            if found is None or found is PENDING:
                return found
            return clean_id(plain(found), "user_id")
        except Exception as error:  # a look-up that fails is no user, never a failed request
            logger.warning("the user of a request could not be looked up: %r", error)
            return None

    def say_user(self, user_id: object) -> None:
        """Take the application's word for who the user is."""
        try:
            self.facts["said"] = clean_id(user_id, "user_id")
        except Exception as problem:  # InvalidEvent, or whatever the value's own str() raises
            logger.warning("the user was not set: %s", problem)

    def found_user(self, user_id: object) -> str | None:
        """Note what a look-up found, and return it as an id.

        It is who the user was all along, whatever the application has said since; that
        counts for what comes after it.
        """
        found = self.as_user(user_id)
        self.facts.setdefault("said", found)
        return found

    def as_user(self, user_id: object) -> str | None:
        """Return what a look-up found as an id; None, with a warning, where it is none."""
        try:
            return clean_id(plain(user_id), "user_id")
        except Exception as problem:
            logger.warning("the user was not set: %s", problem)
            return None

    def _note(self, fact: str, find: Callable[[], T]) -> T:
        """Find something out; two threads that do so at once get the same answer."""
        found: T = self.facts.setdefault(fact, find())
        return found

    def _read_consent(self) -> bool:
        config = self._config
        return tracking_allowed(
            self._request,
            opt_out=config.respect_opt_out,
            gpc=config.respect_gpc,
            dnt=config.respect_dnt,
        )

    def _read_sent_id(self) -> str | None:
        request, config = self._request, self._config
        sent = usable_id(read_cookie(request.header("cookie"), config.cookie_name))
        if sent is None and config.anonymous_id_header:
            header = request.header(config.anonymous_id_header.lower())
            sent = usable_id(percent_decoded(header or ""))
        return sent
