"""A request without a framework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any


class PlainRequest:
    """Answer core's questions about a request from what it was made of, and count them."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        cookie: str | None = None,
        path: str = "/",
        query: str = "",
        url: str | None = None,
        secure: bool = False,
        ip: str | None = None,
        user_id: object = None,
    ) -> None:
        self.headers = {**({} if cookie is None else {"cookie": cookie}), **(headers or {})}
        self.asked: Counter[str] = Counter()
        self._path, self._query, self._url = path, query, url
        self._secure, self._ip, self.user = secure, ip, user_id

    @property
    def native(self) -> object:
        return self

    def header(self, name: str) -> str | None:
        self.asked[name] += 1
        return self.headers.get(name)

    def path(self) -> str:
        return self._path

    def query(self) -> str:
        return self._query

    def url(self) -> str | None:
        return self._url

    def secure(self) -> bool:
        return self._secure

    def ip(self) -> str | None:
        return self._ip

    def user_id(self) -> object:
        self.asked["user_id"] += 1
        if isinstance(self.user, Exception):
            raise self.user
        return self.user

    def ask(self, question: Callable[[Any], Any]) -> object:
        return question(self)
