"""A value of each thread, or of each greenlet once gevent has made greenlets of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

# What it was when Datalyr was imported: another since tells that gevent patched too late.
LOCAL = threading.local


class PerThread(Generic[Value]):
    """Hold a value for each thread that has set one.

    A `threading.local` of before gevent has patched, as under gunicorn with --preload, is the
    same for all greenlets.
    """

    __slots__ = ("_local",)

    def __init__(self) -> None:
        """Begin without a value."""
        self._local: Any = threading.local()

    def get(self) -> Value | None:
        """Return the calling thread's value; None where it has set none."""
        value: Value | None = getattr(self._here(), "value", None)
        return value

    def set(self, value: Value | None) -> None:
        """Set the calling thread's value."""
        self._here().value = value

    @contextmanager
    def set_to(self, value: Value | None) -> Iterator[None]:
        """Set the calling thread's value, and give back the one of before at the end."""
        before = self.get()
        self.set(value)
        try:
            yield
        finally:
            self.set(before)

    def _here(self) -> Any:
        if not isinstance(self._local, threading.local):  # gevent has patched since
            self._local = threading.local()
        return self._local
