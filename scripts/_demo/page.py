"""A shop's page as a visitor reads it: its forms, and what it says of the visitor."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Read a page.

    Attributes:
        forms: The fields of each form, hidden ones included, by its action.
        visitor: The visitor's id as the page shows it, or an empty string.
        user: The user's.
        tracked: Event and event id of what the shop says it tracked, newest first.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: dict[str, list[dict[str, str]]] = {}
        self.visitor = self.user = ""
        self.tracked: list[tuple[str, str]] = []
        self._fields: dict[str, str] = {}
        self._shown: dict[str, str] = {}  # the text of each element that matters
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._fields = {}
            self.forms.setdefault(given["action"], []).append(self._fields)
        elif tag == "input":
            self._fields[given["name"]] = given.get("value", "")
        elif tag in ("b", "code"):
            self._inside = given.get("id", tag)
            self._shown[self._inside] = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._shown[self._inside] += data

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("b", "code"):
            return
        text = self._shown[self._inside]
        if self._inside == "visitor":
            self.visitor = text
        elif self._inside == "user":
            self.user = text
        elif tag == "code" and "b" in self._shown:  # an event's name, then its id
            self.tracked.append((self._shown.pop("b"), text))
        self._inside = ""
