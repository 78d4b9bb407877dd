"""A Django request as core sees one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.core.exceptions import DisallowedHost, ImproperlyConfigured, SynchronousOnlyOperation
from django.db import connections, transaction
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from datalyr_core.web_request import PENDING
from datalyr_django.settings import get_client

logger = logging.getLogger("datalyr.django")

# What Django raises, whenever it is asked for the scheme, if SECURE_PROXY_SSL_HEADER is wrong.
_NO_PAIR = (ImproperlyConfigured, TypeError)


class DjangoRequest:
    """Answer core's questions about a Django request."""

    __slots__ = ("native",)

    def __init__(self, request: HttpRequest) -> None:
        """Bind to a request."""
        self.native = request

    def header(self, name: str) -> str | None:
        """Return a header."""
        scope = getattr(self.native, "scope", None)
        if scope is not None and name == "cookie":
            # Django joins several lines with a comma, which makes one corrupt cookie of two.
            lines = [value for key, value in scope["headers"] if key.lower() == b"cookie"]
            return b"; ".join(lines).decode("latin-1") if lines else None
        value: str | None = self.native.META.get(f"HTTP_{name.upper().replace('-', '_')}")
        return value

    def path(self) -> str:
        """Return the path, with the script's prefix."""
        return self.native.path

    def query(self) -> str:
        """Return the query string."""
        return str(self.native.META.get("QUERY_STRING", ""))

    def url(self) -> str | None:
        """Return the URL; None for a host that ALLOWED_HOSTS does not allow.

        None, too, where Django cannot tell the scheme, see `secure`.
        """
        try:
            return self.native.build_absolute_uri()
        except (DisallowedHost, *_NO_PAIR):
            return None

    def secure(self) -> bool:
        """Tell whether the visitor sees the page over https."""
        try:
            return self.native.is_secure()
        except _NO_PAIR:
            return False

    def ip(self) -> str | None:
        """Return the peer's address."""
        address: str | None = self.native.META.get("REMOTE_ADDR")
        return address or None

    def user_id(self) -> Any:
        """Return the user's primary key; `PENDING` where only an await could tell."""
        user = _by_now(self.native, getattr(self.native, "user", None))
        if user is PENDING:
            return PENDING
        if not isinstance(user, LazyObject) or user._wrapped is not empty:
            return _key_of(user)
        if not _in_event_loop():
            with _savepoints():
                return _key_of(user)
        loaded = _already_loaded(self.native) if _is_of_session(user) else None
        return PENDING if loaded is None else _key_of(loaded)

    def ask(self, question: Callable[[Any], Any]) -> Any:
        """Ask a function of the application; `PENDING` if it cannot work in an event loop."""
        try:
            return question(self.native)
        except SynchronousOnlyOperation:
            return PENDING


def look_up_user(request: HttpRequest) -> Any:
    """Look the user up at a request's end, for the events that wait for it.

    Returns:
        What the application's own function says, else the primary key; None also for a
        look-up that fails, which is no user and never a failed request.
    """
    question = get_client().config.user_id
    try:
        return question(request) if question else _key_of(getattr(request, "user", None))
    except Exception as error:
        _report(error)
        return None


async def alook_up_user(request: HttpRequest) -> Any:
    """Do as `look_up_user`, in an asynchronous request."""
    if get_client().config.user_id or not _is_of_session(getattr(request, "user", None)):
        return await sync_to_async(look_up_user)(request)
    try:
        return _key_of(await request.auser())
    except Exception as error:
        _report(error)
        return None


def settle_before_logout(request: HttpRequest | None = None, **told: Any) -> None:
    """Release the events that wait for their user while the request still knows who it is.

    "Logged Out", which an asynchronous view tracks before `alogout`, is that user's event.
    """
    tracker = getattr(request, "datalyr", None)
    if request is not None and tracker is not None and tracker.needs_user:
        tracker.settle_so_far(look_up_user(request))


@contextmanager
def _savepoints() -> Iterator[None]:
    """Keep a query that fails from taking the application's transactions with it.

    PostgreSQL refuses every further query of a transaction in which one has failed.
    """
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            if connection.in_atomic_block:
                stack.enter_context(transaction.atomic(connection.alias))
        yield


def _report(error: Exception) -> None:
    logger.warning("the user of a request could not be looked up: %r", error)


def _key_of(user: Any) -> Any:
    return user.pk if user is not None and user.is_authenticated else None


def _is_of_session(user: Any) -> bool:
    """Tell whether a lazy user is the one that Django's AuthenticationMiddleware has set.

    `auser()`, and what it or `user` remembers, is the session's user. A middleware that sets
    a lazy `user` of its own, from a token say, leaves all of these as they were.
    """
    find = user.__dict__.get("_setupfunc") if isinstance(user, LazyObject) else None
    return getattr(find, "__module__", None) == "django.contrib.auth.middleware"


def _by_now(request: HttpRequest, user: Any) -> Any:
    """Return who the user is since `request.auser` alone was changed; `user` where it was not.

    `alogin` and `alogout` of Django 6.0 do so. What they put there waits for nothing.
    """
    auser: Any = request.__dict__.get("auser")
    if isinstance(auser, partial) or not _is_of_session(user):
        return user
    if getattr(auser, "__module__", None) == "django.contrib.auth":
        return _at_once(auser())
    return PENDING if _in_event_loop() else user


def _at_once(asked: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns; `PENDING` if it has to wait for something."""
    try:
        asked.send(None)
    except StopIteration as end:
        return end.value
    asked.close()
    return PENDING


def _already_loaded(request: HttpRequest) -> Any:
    """Return the session's user if the view has asked already, by `user` or by `auser()`."""
    facts = request.__dict__
    user = facts.get("_cached_user")
    return facts.get("_acached_user") if user is None else user


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
